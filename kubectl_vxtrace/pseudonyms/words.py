"""What stays as it is, for it is the same in every cluster: names that Kubernetes and its networks give, and words of the tools.

A pod that is called as one of these is called so afterwards, too.
"""

_NAMES = """
default kube-system kube-public kube-node-lease kubernetes kube-dns kube-dns-upstream coredns node-local-dns nodelocaldns kube-proxy
kube-apiserver kube-controller-manager kube-scheduler etcd metrics-server calico-system calico-apiserver calico-node calico-typha
calico-kube-controllers tigera-operator kube-flannel kube-flannel-ds kube-flannel-cfg canal rke2-canal canal-config rke2-canal-config
cilium cilium-operator cilium-envoy rke2-coredns rke2-coredns-rke2-coredns local-path-provisioner default-ipv4-ippool
default-ipv6-ippool
"""
_WORDS = """
a aaaa accept all allow and any arp arpa as at back bare beta bond bridge calico capture cause chain client cluster cni command comment
complete conf config connection conntrack container control counter dead default delivered deny deployment destination dev device direct
dns dport drop dropped dst dual echo end error etcd eth ether ethernet failed fdb file filter final flag flannel flow for forward frame
from gateway global group hairpin hash header healthy high hint hop host http https icmp icmp6 icmpv6 id image in in-addr info inner
input int interface internal ip ip6 ipip ipset iptables ipv4 ipv6 ipvs is it k8s-app kernel key kind kube label lan last leg length
level limit link list lo local loss lost low mac main mangle mark master match max member mesh metrics mode module mtu name namespace
nat net netfilter network nft nic no node none not null of off offset ok on op or out outer output over owner packet partial path pcap
ping pod policy pool port prefix probe protocol proxy queue raw ready recent reject rejected reply report request result return role
root route rule rx scope sctp security server service session set skb socket source sport src standard state static status step stop svc
syn system table target tcp tier time to total trace tunnel tx type udp underlay undetermined unicast up uplink upstream user v1 version
veth vlan vni vtep vxlan wan want wide window wire with witness zero zone
"""

_COMMENTS = """
accept accepted accepting affinity after all allow allowed already and anti-spoofing applied apply are balancer be before between bit
bits block by bypass calico canary cgroup chain check cilium clear client clientip cluster configured connections conntrack default
defaultendpointtohostaction denied deny destination destined dnat does drop egress encapped end endpoint endpoints entries entry
established every explicitly ext external externally externally-visible failsafe felix filter firewall flannel flanneld for forward
forwarding from fw global gw hairpin has health hint host hosts if in incoming ingress interface internal invalid ip ipinip ipv4 ipv6
itself jump knp kns ksa kube-proxy kube-router kubelet kubernetes last lb lbs load loadbalancer local localnet loopback mangle mark
marked masked masq masquerade matched must namespace nat network networkpolicy no node nodeport nodeports nodes non-allowed not note
notrack ns of on only or originating other out packet packets passed path pod pods policies policy portals ports postrouting prerouting
probability profile profiles random raw reject related requires requiring return reverse route rpf rule rules selector sep sep-addr
service services session set snat source spoofing start state statistics strict svc table tables that the this to traffic tunnel unknown
unmarked untracked via visible vxlan was when wireguard with workload workloads xlb
"""

KEPT_NAMES = frozenset(_NAMES.split())
"""A name that goes on behind one of these with a dash keeps that beginning: `coredns-86b5dd7f68-9zdn8`."""

KEPT_WORDS = frozenset(_WORDS.split())

COMMENT_WORDS = frozenset(_COMMENTS.split())
"""What kube-proxy, Felix, flannel and kube-router say in comments on their rules; other words there are somebody's own."""
