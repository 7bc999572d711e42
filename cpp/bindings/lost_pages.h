// A sentence for when pages of a mapped file are gone.
#pragma once

namespace tercet {

// From now on a SIGBUS by a page that its file no longer has ends the process with a sentence on
// standard error. The signal still ends it: there is no value to go on with.
void TellOfLostPages();

}  // namespace tercet
