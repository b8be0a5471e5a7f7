# Configures the unpacked packages of a new Debian base (see recipe::debian).
umask 022
export DPKG_ADMINDIR=/var/lib/dpkg DPKG_ROOT= DPKG_FORCE=security-mac,downgrade
export DPKG_MAINTSCRIPT_DEBUG=0 DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1
export DPKG_RUNNING_VERSION=$(dpkg-query -W -f '${Version}' dpkg)

# No service is started while the base is made.
made_policy=
if [ ! -e /usr/sbin/policy-rc.d ]; then
    made_policy=1
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
fi

# dpkg runs a preinst before it unpacks; here all is unpacked already. The one
# that makes /etc/passwd goes first, as others look owners up.
arch=$(dpkg --print-architecture)
preinst() {
    name=${1##*/} name=${name%.preinst}
    # debconf takes the owner of a question from here.
    mkdir -p /var/lib/dpkg/tmp.ci
    echo "Package: ${name%%:*}" > /var/lib/dpkg/tmp.ci/control
    DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE=${name%%:*} DPKG_MAINTSCRIPT_ARCH=$arch "$1" install
}
if [ -x /var/lib/dpkg/info/base-passwd.preinst ]; then
    preinst /var/lib/dpkg/info/base-passwd.preinst
fi
for script in /var/lib/dpkg/info/*.preinst; do
    case $script in
    */base-passwd.preinst | '/var/lib/dpkg/info/*.preinst') ;;
    *) preinst "$script" ;;
    esac
done

rm -rf /var/lib/dpkg/tmp.ci
unset DPKG_ADMINDIR DPKG_ROOT DPKG_FORCE DPKG_MAINTSCRIPT_DEBUG DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT DPKG_RUNNING_VERSION
dpkg --force-unsafe-io --force-confold --configure --pending

if [ -n "$made_policy" ]; then
    rm /usr/sbin/policy-rc.d
fi

# What differs from run to run, or belongs to the machine that made the base.
rm -f /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log /var/log/apt/*.log /var/log/apt/*.xz
rm -f /var/cache/ldconfig/aux-cache /var/cache/apt/*.bin /var/cache/debconf/*-old
rm -f /var/lib/dpkg/*-old /var/lib/dpkg/lock /var/lib/dpkg/lock-frontend /var/lib/dpkg/triggers/Lock
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed /etc/.pwd.lock
if [ -e /etc/machine-id ]; then
    : > /etc/machine-id
fi

# Passwords were last changed on the day of the base's constant time.
if [ -e /etc/shadow ]; then
    days=$((${SOURCE_DATE_EPOCH:-946684800} / 86400))
    sed -i -E "s/^([^:]*:[^:]*):[0-9]+:/\1:$days:/" /etc/shadow
fi
