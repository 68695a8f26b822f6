# Toolchain file for building on one Linux machine for another kind of processor, with Debian's cross
# compilers (g++-aarch64-linux-gnu, g++-s390x-linux-gnu):
#   cmake -DCMAKE_TOOLCHAIN_FILE=cmake/cross.cmake -DLNX_CROSS=aarch64 -DLNX_PYTHON=OFF ...
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${LNX_CROSS})
set(CMAKE_CXX_COMPILER ${LNX_CROSS}-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${LNX_CROSS})
# CMake reads this file again for the small programs with which it tries the compiler.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES LNX_CROSS)
