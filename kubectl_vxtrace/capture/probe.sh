# Sends a few packets from the network namespace that has an address, as a process in it would.
#
# Usage: probe.sh ADDRESS DEVICE PAUSE_MS KIND,TARGET,PORT,COUNT,BYTES...
# It needs the node's process namespace, and the right to enter others' network namespaces (CAP_SYS_ADMIN), unless it is in that one.
# DEVICE is the node's end of the pod's interface, "-" where it is not known: what else runs on a node (another cluster's nodes in
# containers) may have the same address, and is not behind that device.
# One packet of each goes out in turn, evenly in time; a round of all takes PAUSE_MS. BYTES of payload are sent unfragmented; 0 for a few.
# Output: a line for each that was sent: KIND PORT TIME TARGET. PORT is its source port, the identifier of an ICMP echo; TIME is this
# node's Unix nanoseconds. Sockets stay open for a second after the last, so that answers find them.
set -u -f
address=$1 device=$2
shift 2

# shellcheck disable=SC2016
program='
use strict;
use Socket qw(:all);
use Fcntl;
# Debian without the package perl has no Time::HiRes, and then date may know more than whole seconds.
my $clock = eval { require Time::HiRes; \&Time::HiRes::time } || sub { my $said = `date +%s%N`; $said =~ /^(\d{19})$/ ? $1 / 1e9 : time };
my ($pause_ms, @asked) = @ARGV;
my @kept;
# No two echoes are the same packet: one identifier each, counted on from anywhere, and a number in the payload.
my $last_id = int(rand(65535));
my $sent = 0;
$| = 1;
sub sum {
    my ($data) = @_;
    my $sum = 0;
    $sum += $_ for unpack("n*", $data . (length($data) % 2 ? "\0" : ""));
    $sum = ($sum >> 16) + ($sum & 0xFFFF) while $sum >> 16;
    return ~$sum & 0xFFFF;
}
sub question {
    # The case of letters is ours to choose and comes back as it was: no two questions are the same packet (draft-vixie-dnsext-dns0x20).
    my $name = join "", map { rand() < 0.5 ? uc : lc } split //, "kubernetes.default.svc.cluster.local";
    return pack("n6", int(rand(65536)), 0x0100, 1, 0, 0, 0) . pack("(C/a)*", split(/\./, $name)) . "\0" . pack("n2", 1, 1);
}
sub probe {
    my ($kind, $target, $port, $bytes, $number) = @_;
    my $six = $target =~ /:/;
    my $family = $six ? AF_INET6 : AF_INET;
    my $packed = inet_pton($family, $target) or die "no address: $target\n";
    my $to = $six ? pack_sockaddr_in6($port, $packed) : pack_sockaddr_in($port, $packed);
    my $text = sprintf "vxtrace probe %d ", ++$sent;
    $text .= "." x ($bytes - length $text) if $bytes > length $text;
    my ($socket, $id);
    my $stream = $kind eq "tcp";
    if ($kind eq "icmp") {
        socket($socket, $family, SOCK_RAW, $six ? 58 : 1) or die "no raw socket: $!\n";
    } else {
        socket($socket, $family, $stream ? SOCK_STREAM : SOCK_DGRAM, $stream ? 6 : 17) or die "no socket: $!\n";
    }
    # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER: IP_PMTUDISC_PROBE sets DF and heeds no path MTU that was learned (ip(7), ipv6(7)).
    setsockopt($socket, $six ? 41 : 0, $six ? 23 : 10, pack("i", 3)) if $bytes;
    if ($kind eq "icmp") {
        $id = $last_id = 1 + $last_id % 65535;
        my $type = $six ? 128 : 8;
        my $echo = pack("C2 n3 a*", $type, 0, 0, $id, $number, $text);
        substr($echo, 2, 2) = pack("n", sum($echo)) unless $six;
        send($socket, $echo, 0, $to) or die "not sent: $!\n";
    } else {
        fcntl($socket, F_SETFL, O_NONBLOCK);
        connect($socket, $to) or $!{EINPROGRESS} or die "not connected: $!\n";
        send($socket, $kind eq "dns" ? question() : $text, 0) unless $stream;
        my $name = getsockname($socket);
        $id = $six ? (unpack_sockaddr_in6($name))[0] : (unpack_sockaddr_in($name))[0];
    }
    printf "%s %d %d %s\n", $kind, $id, $clock->() * 1e9, $target;
    push @kept, $socket;
}
my @left = map { [split /,/] } @asked;
for (my $number = 1; @left; $number++) {
    my @on;
    for my $one (@left) {
        my ($kind, $target, $port, $count, $bytes) = @$one;
        if (eval { probe($kind, $target, $port, $bytes, $number); 1 }) {
            push @on, $one if $number < $count;
        } else {
            print STDERR "$target: $@";
        }
        select(undef, undef, undef, $pause_ms / 1000 / @left);
    }
    @left = @on;
}
sleep(1);
'

command -v perl >/dev/null || { echo 'the image has no perl' >&2; exit 4; }
if ip -o address show | grep -qF " $address/"; then exec perl -e "$program" "$@"; fi
command -v nsenter >/dev/null || { echo 'the image has no nsenter' >&2; exit 4; }
set +f
# inside PROCESS COMMAND...: in the process's network namespace.
inside() {
    process=$1
    shift
    nsenter "--net=$process/ns/net" "$@"
}

# peer_index PROCESS: of the interface that has the address, the number of its other end, which a veth's is the node's.
peer_index() {
    name=$(inside "$1" ip -o address show | grep -F " $address/" | head -n 1 | tr -s ' ' | cut -d ' ' -f 2)
    line=$(inside "$1" ip -o link show dev "$name" 2>/dev/null)
    case $line in *@if*) line=${line#*@if} && echo "${line%%:*}" ;; esac
}

wanted=$(ip -o link show dev "$device" 2>/dev/null)
wanted=${wanted%%:*}
seen=' ' having=0 first='' behind=0 chosen=''
for process in /proc/[0-9]*; do
    space=$(readlink "$process/ns/net") || continue
    case $seen in *" $space "*) continue ;; esac
    seen="$seen$space "
    inside "$process" ip -o address show 2>/dev/null | grep -qF " $address/" || continue
    having=$((having + 1)) first=$process
    if [ -n "$wanted" ] && [ "$(peer_index "$process")" = "$wanted" ]; then behind=$((behind + 1)) chosen=$process; fi
done
[ "$having" = 0 ] && { echo "no process of the node has $address" >&2; exit 4; }
[ "$having" = 1 ] && behind=1 chosen=$first
[ "$behind" = 1 ] || { echo "$having network namespaces of the node have $address, and which is the pod's is not known" >&2; exit 4; }
inside "$chosen" perl -e "$program" "$@"
