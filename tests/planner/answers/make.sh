#!/usr/bin/env bash
# Makes the answers in this folder anew, in scratch namespaces of its own: unshare -mn tests/planner/answers/make.sh
# They are what the programs printed, unchanged; a test that fails on new ones has found something that moved.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
mount -t tmpfs none /run/netns

fresh() {
    ip -all netns delete
    ip netns add pod
    ip netns add host
    ip -n pod link set lo up
}

pod() { ip -n pod "$@"; }

# veth NAME MAC [WORD…]: a pair, both ends up, the host's end called h-NAME (cut)
veth() {
    local name=$1 mac=$2
    shift 2
    pod link add name "$name" address "$mac" "$@" type veth peer name "h-${name:0:13}" address "${mac/#02/06}" netns host
    ip -n host link set "h-${name:0:13}" up
    pod link set dev "$name" up
}

inside() { ip netns exec pod "$@"; }

# answers FILE: asks what podwire asks (executor/observe.py), in its order
answers() {
    {
        echo "# $(ip -V), $(ebtables --version), $(nft --version | cut -d' ' -f1-2), Linux $(uname -r | cut -d- -f1)"
        inside ip -j -d -force -batch - <<'QUESTIONS' | paste -d'\n' <(printf '== %s\n' links addresses routes4 routes6 neighbours proxies) -
link show
addr show
route show table all root 0.0.0.0/0
route show table all root ::/0
neigh show nud all
neigh show proxy
QUESTIONS
        echo '== route_text'
        inside ip -d -o route show table all root 0.0.0.0/0
        inside ip -d -o route show table all root ::/0
        echo '== ebtables_save'
        inside ebtables-save
        echo '== nft_chains'
        inside nft -j list chains bridge
        echo
        echo '== sysctls'
        inside bash -c 'cd /proc/sys && grep -H "" net/ipv6/conf/*/accept_{dad,ra} net/bridge/bridge-nf-call-* | sort'
    } >"$1"
}

fresh
veth eth0 02:00:00:00:00:01
pod link set eth0 alias 'the pod'"'"'s "first" link' group 77
pod link property add dev eth0 altname the-pods-own-interface
pod addr add 10.0.0.5/24 dev eth0
pod addr add 10.0.0.6/24 brd + dev eth0 label eth0:two
pod addr add 10.1.0.5/32 dev eth0 scope link
pod addr add 10.2.0.5 peer 10.2.0.1/24 dev eth0 metric 50
pod addr add 10.3.0.5/24 dev eth0 noprefixroute valid_lft 5000 preferred_lft 4000
pod addr add 10.4.0.5/24 dev eth0 preferred_lft 0
pod -6 addr add fd00:1::5/64 dev eth0 nodad
pod -6 addr add fd00:2::5/128 dev eth0 nodad
pod -6 addr add fd00:3::5 peer fd00:3::1 dev eth0 nodad
pod -6 addr add fd00:4::5/64 dev eth0 nodad noprefixroute valid_lft 5000 preferred_lft 0
pod -6 addr add fd00:5::5/64 dev eth0 nodad mngtmpaddr valid_lft 5000 preferred_lft 4000
pod route del 10.4.0.0/24 dev eth0
pod -6 route del fd00:1::/64 dev eth0
veth eth0.100 02:00:00:00:00:02 mtu 1200
pod addr add 10.5.0.5/24 dev eth0.100
veth a23456789012345 02:00:00:00:00:03
pod link set a23456789012345 arp off promisc on allmulticast on
pod link add down0 address 02:00:00:00:00:04 type veth peer name down1 address 02:00:00:00:00:05
pod addr add 10.6.0.5/24 dev down0
pod link set down1 up
pod link add name switch0 address 02:00:00:00:00:06 type bridge ageing_time 0 mcast_snooping 0
pod link set down1 master switch0
pod tuntap add dev tap7 mode tap user 4711 group 4712 multi_queue vnet_hdr
pod link set tap7 address 02:00:00:00:00:07
pod tuntap add dev tun7 mode tun
pod link add vx0 address 02:00:00:00:00:08 type vxlan id 7 dstport 4789
answers links-and-addresses.txt

fresh
veth eth0 02:00:00:00:00:01
veth mtu 02:00:00:00:00:02
pod addr add 10.0.0.5/24 dev eth0
pod addr add 10.1.0.5/24 dev mtu
pod -6 addr add fd00:1::5/64 dev eth0 nodad
pod -6 addr add fd00:2::5/64 dev mtu nodad
pod route add default via 10.0.0.1 dev eth0 mtu lock 1280 advmss 1240
pod route add default via 10.0.0.2 dev eth0 metric 100 initcwnd 20 rtt 90ms rto_min 200ms features ecn congctl cubic
pod route add 10.10.0.0/16 dev eth0 scope link
pod route append 10.10.0.0/16 dev mtu scope link
pod route add 10.11.0.0/16 via inet6 fe80::1 dev eth0
pod route add 10.12.0.0/16 via 10.0.0.3 dev mtu onlink
pod route add 10.13.0.0/16 mtu 1400 nexthop via 10.0.0.1 dev eth0 weight 2 nexthop via 10.1.0.1 dev mtu
pod route add 10.14.0.0/16 scope link nexthop dev eth0 nexthop dev mtu
pod route add 10.15.0.0/16 encap ip id 5 dst 10.0.0.2 via 10.0.0.3 dev eth0
pod route add 10.16.0.0/16 tos 0x10 via 10.0.0.1 proto static src 10.1.0.5
pod route add 10.17.0.0/16 via 10.0.0.1 table 100
pod route add 10.18.0.0/16 via 10.0.0.1 table default realms 5
for type in blackhole unreachable prohibit throw; do
    pod route add "$type" 10.2$((n = ${n:--1} + 1)).0.0/16
done
pod nexthop add id 7 via 10.0.0.1 dev eth0
pod nexthop add id 8 dev eth0
pod nexthop add id 9 group 7/8
pod route add 10.30.0.0/16 nhid 7
pod route add 10.31.0.0/16 nhid 8
pod route add local 10.32.0.0/16 dev eth0
pod route add 10.33.0.0/16 dev eth0 proto kernel scope link
pod -6 route add default via fe80::1 dev eth0 pref high hoplimit 32
pod -6 route add default via fe80::2 dev mtu proto ra metric 2000 expires 600
pod -6 route add fd10::/64 nexthop via fe80::1 dev eth0 weight 2 nexthop via fe80::2 dev mtu
pod -6 route add fd11::/64 encap seg6 mode encap segs fd00:1::2 dev eth0
pod -6 route add fd12::/64 via fd00:1::1 src fd00:2::5 metric 7 expires 500
pod -6 route add blackhole fd13::/64
pod -6 nexthop add id 10 via fd00:1::1 dev eth0
pod -6 route add fd14::/64 nhid 10
answers routes.txt

fresh
veth eth0 02:00:00:00:00:01
veth silent 02:00:00:00:00:02
pod link set silent arp off
pod addr add 10.0.0.5/24 dev eth0
pod addr add 10.1.0.5/24 dev silent
pod neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent
pod neigh add fe80::1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent router extern_learn
pod neigh add 10.0.0.7 lladdr 02:00:00:00:00:77 dev eth0 nud noarp
pod neigh add 10.0.0.8 lladdr 02:00:00:00:00:88 dev eth0 nud stale
pod neigh add 10.1.0.7 lladdr 02:00:00:00:00:99 dev silent nud permanent
pod neigh add 10.1.0.9 lladdr 02:00:00:00:00:aa dev silent nud noarp
# what the kernel makes itself: to nobody, to a link without ARP, to everybody
inside python3 -c '
import socket
knock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
knock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
for address in ("10.0.0.9", "10.1.0.8", "10.0.0.255", "127.0.0.1"):
    knock.sendto(b"x", (address, 9))
'
pod neigh add proxy 10.0.0.10 dev eth0
pod neigh add proxy fd00::10 dev eth0
answers neighbours.txt

fresh
inside ebtables -P FORWARD DROP
inside ebtables -A FORWARD -p IPv4 --ip-proto udp --ip-dport 53 -j ACCEPT
inside ebtables -A FORWARD -p ARP -j ACCEPT
inside ebtables -N TENANT
inside ebtables -A TENANT -s 02:00:00:00:00:09 -j DROP
inside ebtables -A INPUT -j TENANT
inside ebtables -A INPUT -i eth0 --log-prefix 'a b' -j CONTINUE
inside ebtables -A INPUT -i ! eth0 -j DROP
inside ebtables -A INPUT -i eth0 -j DROP
answers foreign-rules.txt
