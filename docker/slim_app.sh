#!/bin/sh
# Takes from an installed environment what a server never reads: installers, tests, headers, symbols.
# What is left is compiled, since a read-only container could not keep what it compiles at each start.
set -eu
app=$1

"$app/bin/pip" uninstall --yes --quiet pip
packages=$(echo "$app"/lib/python3*/site-packages)
cd "$packages"
rm -rf setuptools* pkg_resources _distutils_hack distutils-precedence.pth
find . -type d \( -name tests -o -name testing -o -name test -o -name __pycache__ \) \
  -not -path '*/tercet_*' -not -path './numpy/testing' -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.a' \) -delete
# Wheels' own libraries (numpy.libs) were moved about by their makers' tools, which strip would undo.
find . -type f -name '*.so' -not -path './*.libs/*' -exec strip --strip-unneeded {} +
"$app/bin/python3" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$packages"
