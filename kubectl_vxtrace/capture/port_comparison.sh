# Sends datagrams from this node to another that differ in port, checksum, size and source port, and are VXLAN to whoever looks at them.
#
# Usage: port_comparison.sh SOURCE DESTINATION PAUSE_MS FIRST_VNI COPIES SOURCE_PORT,... PORT,CHECKSUM,BYTES...
# SOURCE is an address of this node. CHECKSUM is 1 with an outer UDP checksum, 0 without. BYTES is the size of the IP packet, which is not
# fragmented. Each datagram has a VNI of its own, from FIRST_VNI on: copy by copy, in it PORT,CHECKSUM,BYTES by PORT,CHECKSUM,BYTES, in it
# by SOURCE_PORT. One goes out every PAUSE_MS. Behind the VXLAN header is an Ethernet frame of no protocol (0x88B5, IEEE Std 802, 9.2.3:
# for local experiments), from and to addresses that nobody has.
# Output: the number of each that the kernel took, from 0, one a line.
set -u -f

# shellcheck disable=SC2016
program='
use strict;
use Socket qw(:all);
my ($source, $destination, $pause_ms, $vni, $copies, $ports, @variants) = @ARGV;
my $six = $source =~ /:/;
my $family = $six ? AF_INET6 : AF_INET;
my $headers = $six ? 48 : 28;  # IP and UDP
my ($from, $to) = map { inet_pton($family, $_) or die "no address: $_\n" } $source, $destination;
sub place { my ($port, $address) = @_; return $six ? pack_sockaddr_in6($port, $address) : pack_sockaddr_in($port, $address) }
my (%sockets, %said);
my $number = 0;
$| = 1;
# One for each source port and kind of checksum: a port is bound anew for the other kind.
sub open_socket {
    my ($port, $checksum) = @_;
    socket(my $socket, $family, SOCK_DGRAM, 17) or die "no socket: $!\n";
    # SO_REUSEADDR: both kinds have the same port. SO_NO_CHECK is 11 (asm-generic/socket.h; Alpine and Debian run on no other kind of it).
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, pack("i", 1)) or die "no SO_REUSEADDR: $!\n";
    $checksum or setsockopt($socket, SOL_SOCKET, 11, pack("i", 1)) or die "no SO_NO_CHECK: $!\n";
    # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER: IP_PMTUDISC_PROBE sets DF and heeds no path MTU that was learned (ip(7), ipv6(7)).
    setsockopt($socket, $six ? 41 : 0, $six ? 23 : 10, pack("i", 3)) or die "no IP_MTU_DISCOVER: $!\n";
    bind($socket, place($port, $from)) or die "source port $port: $!\n";
    return $socket;
}
sub datagram {
    my ($port, $checksum, $bytes, $source_port) = @_;
    my $frame = pack("H12 H12 n", "027678747262", "027678747261", 0x88b5) . sprintf("kubectl vxtrace --ab %d ", $number);
    my $data = pack("N2", 0x08000000, ($vni + $number) << 8) . $frame;
    my $left = $bytes - $headers - length $data;
    $data .= "." x $left if $left > 0;
    my $socket = $sockets{"$source_port $checksum"} //= open_socket($source_port, $checksum);
    # What was answered to an earlier one (an ICMP error) is no error of this one.
    getsockopt($socket, SOL_SOCKET, SO_ERROR);
    defined send($socket, $data, 0, place($port, $to)) or die "$bytes bytes to port $port: $!\n";
}
for my $copy (1 .. $copies) {
    for my $variant (@variants) {
        for my $source_port (split /,/, $ports) {
            if (eval { datagram(split(/,/, $variant), $source_port); 1 }) {
                print "$number\n";
            } else {
                $said{$@}++ or print STDERR $@;
            }
            $number++;
            select(undef, undef, undef, $pause_ms / 1000);
        }
    }
}
'

command -v perl >/dev/null || { echo 'the image has no perl' >&2; exit 4; }
exec perl -e "$program" "$@"
