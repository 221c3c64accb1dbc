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
