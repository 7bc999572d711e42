#!/bin/sh
# Leaves of a Debian-like image what Python needs: no package manager, no perl, no installers, no
# setuid programs. The list of packages stays (/var/lib/dpkg/status), for scanners to read.
set -eu

python_library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
for unused in ensurepip idlelib lib2to3 pydoc_data test tkinter turtledemo turtle.py \
  site-packages/pip site-packages/setuptools; do
  rm -rf "${python_library:?}/$unused" "$python_library/$unused"-*.dist-info
done
find "$python_library" -type d \( -name 'config-3*' -o -name __pycache__ \) -prune -exec rm -rf {} +
python3 -m compileall -q -j 0 "$python_library"
cd "$(dirname "$(command -v python3)")"
rm -f pip* idle* 2to3* pydoc* python*-config python*-gdb.py

rm -rf /usr/lib/*-linux-gnu/perl* /usr/lib/*-linux-gnu/libperl* /usr/share/perl* /usr/bin/*perl*
rm -rf /usr/lib/*-linux-gnu/gconv /usr/lib/*-linux-gnu/libapt-* /usr/lib/apt /usr/bin/apt* /var/lib/apt
rm -rf /usr/lib/dpkg /usr/bin/dpkg* /var/lib/dpkg/info /usr/lib/gcc* /usr/include /usr/lib/systemd
rm -rf /usr/share/man /usr/share/info /usr/share/locale /usr/share/bash-completion
find /usr/share/doc -type f -not -name copyright -delete
find /usr/share/doc -type l -delete
rm -rf /var/cache/* /var/log/* /root/.cache
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
