# What the tools of the usual images do not ask the kernel, perl does, which netshoot has.

# Programs at tcx and netkit, which neither tc nor older bpftools show: BPF_PROG_QUERY (16) for each interface and attach type, and the
# program's name by its id (13, 15). A line each, in the order in which they run: DEVICE HOOK ID NAME. Layouts and numbers: include/uapi/linux/bpf.h.
# shellcheck disable=SC2016
tcx_program='
my ($call, $ids_bytes, $info_bytes) = (shift, 256, 232);
sub bpf { syscall($call, $_[0], $_[1], length $_[1]) }
sub name {
    my $program = bpf(13, pack("L x116", $_[0]));
    open(my $handle, "<&=", $program) or return "-" if $program >= 0;
    my $info = "\0" x $info_bytes;
    return "-" if $program < 0 or bpf(15, pack("L L Q x112", $program, $info_bytes, unpack("Q", pack("p", $info)))) < 0;
    my $name = unpack("x64 Z16", $info);
    return $name =~ /^[\w.]+$/ ? $name : "-";
}
my %hooks = (46 => "tcx/ingress", 47 => "tcx/egress", 54 => "netkit", 55 => "netkit");
socket(my $socket, 2, 2, 0) or die "no socket: $!\n";
open(my $devices, "<", "/proc/self/net/dev") or die "no list of devices: $!\n";
while (<$devices>) {
    my ($device) = /^\s*(\S+):/ or next;
    my $request = pack("a16 x24", $device);
    ioctl($socket, 0x8933, $request) or next;
    for my $type (sort keys %hooks) {
        my $ids = "\0" x $ids_bytes;
        my $query = pack("L L x8 Q L x92", unpack("x16 l", $request), $type, unpack("Q", pack("p", $ids)), $ids_bytes / 4);
        if (bpf(16, $query) < 0) {
            die "programs cannot be asked for: $!\n" if $! == 1;
            next;
        }
        my $count = unpack("x24 L", $query);
        print "$device $hooks{$type} $_ ", name($_), "\n" for (unpack("L*", $ids))[0 .. $count - 1];
    }
}
'

# The number of bpf(2) differs between machines (asm/unistd.h).
tcx() {
    case $(uname -m 2>/dev/null) in
    x86_64) ask tcx 262144 perl -e "$tcx_program" 321 ;;
    aarch64 | riscv64) ask tcx 262144 perl -e "$tcx_program" 280 ;;
    s390x) ask tcx 262144 perl -e "$tcx_program" 351 ;;
    ppc64le) ask tcx 262144 perl -e "$tcx_program" 361 ;;
    *) missing tcx 'the number of bpf(2) on this machine is not known' ;;
    esac
}

# Interfaces and addresses in network namespaces that have one of the addresses in the arguments: RTM_GETNSID (90), then RTM_GETADDR (22) and
# RTM_GETLINK (18) with the namespace's number as IFA_TARGET_NETNSID (10) or IFLA_TARGET_NETNSID (46). Routes, neighbours and sockets the
# kernel does not tell that way. A line each: NUMBER addr|link MESSAGE, in hexadecimal. Layouts: include/uapi/linux/{net_namespace,
# rtnetlink,if_addr,if_link}.h.
# shellcheck disable=SC2016
namespaces_program='
use Socket qw(AF_INET AF_INET6 inet_pton);
my %wanted = map { (inet_pton(/:/ ? AF_INET6 : AF_INET, $_), 1) } @ARGV;
my $sequence = 0;
socket(my $netlink, 16, 3, 0) or die "no netlink socket: $!\n";
setsockopt($netlink, 270, 12, pack("l", 1)) or die "this kernel tells nothing of other namespaces: $!\n";
sub messages {
    my ($type, $body) = @_;
    my (@found, $part);
    send($netlink, pack("L S S L L", 16 + length $body, $type, 0x301, ++$sequence, 0) . $body, 0) or die "not asked: $!\n";
    while (defined(recv($netlink, $part, 65536, 0)) and length $part) {
        while (length $part >= 16) {
            my ($length, $kind) = unpack("L S", $part);
            return @found if $kind == 3;
            if ($kind == 2) {
                $! = -unpack("x16 l", $part);
                die "refused: $!\n";
            }
            push @found, substr($part, 16, $length - 16);
            my $next = ($length + 3) & ~3;
            $part = $length < 16 || $next > length $part ? "" : substr($part, $next);
        }
    }
    die "no answer: $!\n";
}
sub attribute {
    my ($message, $place, @types) = @_;
    while ($place + 4 <= length $message) {
        my ($length, $type) = unpack("S S", substr($message, $place, 4));
        return substr($message, $place + 4, $length - 4) if $length >= 4 and grep { $_ == $type } @types;
        $place += $length < 4 ? 4 : ($length + 3) & ~3;
    }
    return "";
}
my $told = 0;
for my $namespace (messages(90, pack("x4"))) {
    my $number = attribute($namespace, 4, 1);
    my @addresses = messages(22, pack("x8 S S", 8, 10) . $number);
    next unless grep { $wanted{attribute($_, 8, 2)} or $wanted{attribute($_, 8, 1)} } @addresses;
    my @links = messages(18, pack("x16 S S", 8, 46) . $number);
    $number = unpack("l", $number);
    print "$number addr ", unpack("H*", $_), "\n" for @addresses;
    print "$number link ", unpack("H*", $_), "\n" for @links;
    $told = 1;
}
die "no network namespace that the node has a link into has the address @ARGV\n" unless $told;
'

# The namespaces of local ends that are not the node itself.
pod_namespaces() {
    set --
    for address in $locals; do case $(device_to "$address") in lo) ;; *) set -- "$@" "$address" ;; esac; done
    [ $# -eq 0 ] || ask pod-namespaces 2097152 perl -e "$namespaces_program" "$@"
}
