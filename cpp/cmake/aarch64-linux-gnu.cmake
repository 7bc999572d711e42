# Builds for 64-bit ARM on another machine, and runs what was built under QEMU's user emulation:
# apt install g++-aarch64-linux-gnu qemu-user. TERCET_QEMU_CPU says which CPU tests pretend to be.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)

set(TERCET_QEMU_CPU max CACHE STRING "CPU that tests run on: max, cortex-a76, cortex-a53")
set(CMAKE_CROSSCOMPILING_EMULATOR
    qemu-aarch64 -cpu ${TERCET_QEMU_CPU} -L /usr/aarch64-linux-gnu)
