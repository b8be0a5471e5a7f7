# Configures the unpacked packages of a new Debian base (see recipe::debian).
umask 022
before

# The source wrote `status` in the order in which packages can be configured,
# the essential ones and what they need before all others. One line for each.
order=$(sed -n -e '/^Package: /{s///;h;}' -e '/^Essential: yes$/{s//essential/;H;}' \
    -e '/^Pre-Depends: /{s/.*/strict/;H;}' -e '/^$/{g;s/\n/ /g;p;}' /var/lib/dpkg/status)
base= all=
while read -r name marks; do
    all="$all $name"
    case $marks in *essential*) base=$all ;; esac
done <<END
$order
END

arch=$(dpkg --print-architecture)
script_of() {
    for script in "/var/lib/dpkg/info/$1.preinst" "/var/lib/dpkg/info/$1:$arch.preinst"; do
        if [ -x "$script" ]; then echo "$script"; fi
    done
}
# Runs a package's preinst, in what dpkg would run it.
preinst() (
    script=$(script_of "$1")
    if [ -z "$script" ]; then exit 0; fi
    export DPKG_ADMINDIR=/var/lib/dpkg DPKG_ROOT= DPKG_FORCE=security-mac,downgrade
    export DPKG_MAINTSCRIPT_DEBUG=0 DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1
    export DPKG_RUNNING_VERSION=$(dpkg-query -W -f '${Version}' dpkg)
    export DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE=$1 DPKG_MAINTSCRIPT_ARCH=$arch
    # debconf takes the owner of a question from here.
    mkdir -p /var/lib/dpkg/tmp.ci
    echo "Package: $1" > /var/lib/dpkg/tmp.ci/control
    "$script" install
    rm -rf /var/lib/dpkg/tmp.ci
)
configure() { dpkg --force-unsafe-io --force-confold --configure "$@"; }

# dpkg runs a preinst before it unpacks; here all is unpacked already. The
# essential packages do their work before they are configured, but only the one
# that makes /etc/passwd before it has run: others look owners up.
preinst base-passwd
for name in $base; do
    case $name in base-passwd) ;; *) preinst "$name" ;; esac
done
configure $base

# A preinst may use what its package pre-depends on, and that is configured by
# then. (Should a cycle forbid it, the last line configures it.)
waiting=
while read -r name marks; do
    case " $base " in *" $name "*) continue ;; esac
    case $marks in
    *strict*)
        if [ -n "$waiting" ] && [ -n "$(script_of "$name")" ]; then
            configure $waiting </dev/null || true
            waiting=
        fi
        ;;
    esac
    preinst "$name" </dev/null
    waiting="$waiting $name"
done <<END
$order
END
configure --pending

after

# Passwords were last changed on the day of the base's constant time.
if [ -e /etc/shadow ]; then
    days=$((${SOURCE_DATE_EPOCH:-946684800} / 86400))
    sed -i -E "s/^([^:]*:[^:]*):[0-9]+:/\1:$days:/" /etc/shadow
fi
