#!/bin/sh
# In a bare Debian that is older than what is packed there: a Python of our own in /opt/python, with the OpenSSL, zlib, bzip2 and xz that it
# needs, built from Debian's source packages with Debian's patches; their licences in /opt/licences.
# Called by older.py: python.sh MIRROR RELEASE PACKAGE=VERSION... (RELEASE has the source packages).
set -eu

mirror=$1 release=$2
shift 2
prefix=/opt/python
# What is compiled bears one time: that of the release of Debian 13.
export DEBIAN_FRONTEND=noninteractive MAKEFLAGS=-j1 SOURCE_DATE_EPOCH=1754697600

# The sources are of a newer release, signed with keys that this one knows as well. libffi is for PyInstaller alone, and is not packed.
echo "deb-src $mirror $release main" >/etc/apt/sources.list.d/sources.list
apt-get update -q
apt-get install -y -q --no-install-recommends ca-certificates dpkg-dev g++ gcc libc6-dev libffi-dev make perl xz-utils
mkdir -p /sources
cd /sources
for package; do
    apt-get source -q "$package"
done

# What is linked into Python's own modules.
cd /sources/zlib-*/
CFLAGS="-O2 -fPIC" ./configure --static --prefix=$prefix
make libz.a
make install
cd /sources/bzip2-*/
make libbz2.a CFLAGS="-O2 -fPIC -D_FILE_OFFSET_BITS=64"
cp bzlib.h $prefix/include/
cp libbz2.a $prefix/lib/
cd /sources/xz-utils-*/
./configure --prefix=$prefix --disable-shared --with-pic --disable-xz --disable-xzdec --disable-lzmadec --disable-lzmainfo \
    --disable-lzma-links --disable-scripts --disable-doc --disable-nls
make
make install

# Shared, as two modules use it. It loads neither modules nor the system's openssl.cnf, which is another version's; kubectl reads none.
# It looks for certificates in /etc/ssl/certs; kube/authorities.py knows other places.
cd /sources/openssl-*/
./Configure linux-x86_64 --prefix=$prefix --libdir=lib --openssldir=/etc/ssl shared no-autoload-config no-dso no-engine no-legacy no-module \
    no-apps no-docs no-tests no-cmp no-cms no-gost no-quic no-srp no-ssl-trace no-ts
make build_generated
make libcrypto.so libssl.so
mkdir $prefix/include/openssl
cp include/openssl/*.h $prefix/include/openssl/
cp -P libcrypto.so* libssl.so* $prefix/lib/
# No path is written into what is linked with it: what the packed program starts as says where its libraries are.
echo $prefix/lib >/etc/ld.so.conf.d/python.conf
ldconfig

# glibc 2.29 gave these new versions, without SVID's error handling, which nobody turns on (its NEWS). Python asks for the old ones, and so
# runs with a glibc that has no others.
cat >/opt/older.h <<'END'
#ifndef __ASSEMBLER__
__asm__(".symver exp,exp@GLIBC_2.2.5");
__asm__(".symver exp2,exp2@GLIBC_2.2.5");
__asm__(".symver log,log@GLIBC_2.2.5");
__asm__(".symver log2,log2@GLIBC_2.2.5");
__asm__(".symver pow,pow@GLIBC_2.2.5");
#endif
END
mkdir /tmp/python
cd /tmp/python
# sem_clockwait is of glibc 2.30; without it Python waits for locks by the wall clock, as it did before 3.11.
CPPFLAGS="-I$prefix/include" CFLAGS="-include /opt/older.h" LDFLAGS="-L$prefix/lib" ac_cv_func_sem_clockwait=no \
    /sources/python3.*/configure --prefix=$prefix --enable-shared --with-openssl=$prefix --disable-test-modules --without-ensurepip
make LDFLAGS="-L$prefix/lib" # Debian's configure forgets it
make install LDFLAGS="-L$prefix/lib"
ldconfig
for module in _bz2 _ctypes _hashlib _lzma _ssl zlib; do
    $prefix/bin/python3 -c "import $module"
done
find $prefix/lib -name '*.so*' -type f -exec strip --strip-unneeded {} +

# The licences of what was built, for the archive.
for package; do
    name=${package%%=*} version=${package#*=}
    into=/opt/licences/$name-${version#*:}
    mkdir -p "$into"
    cp "/sources/$name"*/debian/copyright "$into/"
done
cp /sources/openssl-*/LICENSE.txt /opt/licences/openssl-*/
cp /sources/python3.*/LICENSE /sources/python3.*/Doc/license.rst /opt/licences/python3.*/
mkdir /opt/licences/gcc-runtime
cp /usr/share/doc/libgcc-s1/copyright /opt/licences/gcc-runtime/
rm -rf /sources /tmp/python
apt-get clean
