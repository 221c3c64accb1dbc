#!/bin/sh
# In the root of python.sh, wheels of what is not taken as it is published, in /wheels:
# - numpy without BLAS, as nothing here multiplies matrices of floating point numbers, which makes it 28 MB smaller; for AVX2 and for what is
#   older, but not once more for AVX-512; with GCC's own libraries in it, under their exception;
# - PyInstaller, whose program loads the system's zlib before it can say where its own is; here zlib is in it.
# Called by older.py: wheels.sh numpy==VERSION pyinstaller==VERSION
set -eu

/opt/python/bin/python3 -m venv /tmp/build
export PATH="/tmp/build/bin:$PATH"
pip install --requirement /recipe/wheels-build.txt
build() { # build REQUIREMENT OPTION...
    pip wheel --no-cache-dir --no-deps --no-build-isolation --no-binary "${1%%==*}" --wheel-dir /wheels "$@"
}
PYINSTALLER_COMPILE_BOOTLOADER=1 CFLAGS=-I/opt/python/include LDFLAGS=-L/opt/python/lib build "$2"
CFLAGS="-include /opt/older.h" CXXFLAGS="-include /opt/older.h" LDFLAGS="-static-libgcc -static-libstdc++ -Wl,--strip-all" \
    build "$1" -Ccompile-args=-j1 -Csetup-args=-Dblas=none -Csetup-args=-Dlapack=none -Csetup-args=-Dallow-noblas=true \
    -Csetup-args=-Dcpu-dispatch=X86_V3
rm -rf /tmp/build
