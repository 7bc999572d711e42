#include "lost_pages.h"

#include <unistd.h>

#include <csignal>
#include <string_view>

namespace tercet {
namespace {

constexpr std::string_view kSentence =
    "tercet: a file of the model was cut short, or its disk failed, while it was in use, so this "
    "process ends; put the whole file there and start again. Replace files in use by renaming "
    "others to their names.\n";

// Only what may be done in a signal handler. When it returns, the instruction faults again and
// the signal has its usual effect, as the handler was for once.
void Tell(int /*signal*/, siginfo_t* info, void* /*context*/) {
  if (info->si_code == BUS_ADRERR) {
    [[maybe_unused]] const auto written = write(STDERR_FILENO, kSentence.data(), kSentence.size());
  }
}

}  // namespace

void TellOfLostPages() {
  struct sigaction action = {};
  action.sa_sigaction = &Tell;
  action.sa_flags = SA_SIGINFO | SA_RESETHAND;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace tercet
