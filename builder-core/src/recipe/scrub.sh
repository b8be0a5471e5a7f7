# Shared by the steps that install packages (see recipe::packages): `before`
# and `after` it. What was there before is not the step's to take away.

# What belongs to one machine, and is made anew where an image starts.
of_one_machine() {
    for file in /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub \
        /var/lib/dbus/machine-id /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
    do
        if [ -f "$file" ] && [ ! -L "$file" ]; then echo "$file"; fi
    done
}

before() {
    kept=$(of_one_machine)
    machine_id=$(cat /etc/machine-id 2>/dev/null || true)
    mark=/tmp/.phoenix-packages
    : > $mark
    # No service is started.
    policy=
    if [ ! -e /usr/sbin/policy-rc.d ] && [ -d /usr/sbin ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' > $policy
        chmod 755 $policy
    fi
}

# Java's list of certificates tells when each was added and ends with a digest
# that its password goes into (the format of keytool, JKS 2).
java_certificates() {
    list=$1
    body=$(($(stat -c %s "$list") - 20))
    digest() { { printf '\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite'; cat; } | sha1sum | cut -c 1-40; }
    if [ "$(head -c $body "$list" | digest)" != "$(tail -c 20 "$list" | od -An -v -tx1 | tr -d ' \n')" ]; then
        return 0
    fi
    head -c $body "$list" | perl -0777 -e '
        my ($seconds) = @ARGV; @ARGV = (); binmode STDIN; binmode STDOUT; $_ = <STDIN>;
        my $time = pack "NN", int($seconds * 1000 / 2**32), $seconds * 1000 % 2**32;
        my ($at, $left) = (12, unpack "N", substr $_, 8, 4);
        while ($left-- && unpack("N", substr $_, $at, 4) == 2) {
            $at += 6 + unpack "n", substr $_, $at + 4, 2;
            substr $_, $at, 8, $time;
            $at += 10 + unpack "n", substr $_, $at + 8, 2;
            $at += 4 + unpack "N", substr $_, $at, 4;
        }
        print' "${SOURCE_DATE_EPOCH:-946684800}" > $mark
    perl -e 'print pack "H40", shift' "$(digest < $mark)" >> $mark
    cat $mark > "$list"
}

after() {
    if [ -n "$policy" ]; then rm $policy; fi
    for file in $(of_one_machine); do
        case " $(echo $kept) " in
        *" $file "*) ;;
        *) rm "$file" ;;
        esac
    done
    if [ -z "$machine_id" ] && [ -s /etc/machine-id ]; then : > /etc/machine-id; fi
    if [ /etc/ssl/certs/java/cacerts -nt $mark ] && [ -x /usr/bin/perl ]; then
        java_certificates /etc/ssl/certs/java/cacerts
    fi
    # What differs from run to run: logs, caches, backups, locks.
    rm -f $mark /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log
    rm -rf /var/log/apt/*
    rm -f /var/cache/ldconfig/aux-cache /var/cache/apt/*.bin /var/cache/debconf/*-old
    rm -f /var/lib/dpkg/*-old /var/lib/dpkg/lock /var/lib/dpkg/lock-frontend /var/lib/dpkg/triggers/Lock
    rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /etc/.pwd.lock
}
