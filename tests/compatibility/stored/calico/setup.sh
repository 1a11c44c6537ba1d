ip netns add earlier-host
ip netns add earlier
nsenter --net=/run/netns/earlier-host ip link set lo up
nsenter --net=/run/netns/earlier ip link set lo up
nsenter --net=/run/netns/earlier ip link add eth0 address 0a:58:0a:01:5a:05 mtu 1500 type veth peer name h-eth0 address 0a:58:0a:01:5a:01 mtu 1500 netns earlier-host
nsenter --net=/run/netns/earlier-host sysctl -qw net/ipv6/conf/h-eth0/router_solicitation_delay=0
nsenter --net=/run/netns/earlier-host sysctl -qw net/ipv6/neigh/h-eth0/retrans_time_ms=20
nsenter --net=/run/netns/earlier-host ip link set h-eth0 up
nsenter --net=/run/netns/earlier sysctl -qw net/ipv6/conf/eth0/router_solicitation_delay=0
nsenter --net=/run/netns/earlier sysctl -qw net/ipv6/neigh/eth0/retrans_time_ms=20
nsenter --net=/run/netns/earlier ip link set eth0 up
nsenter --net=/run/netns/earlier-host sysctl -qw net/ipv4/conf/h-eth0/proxy_arp=1
nsenter --net=/run/netns/earlier-host sysctl -qw net/ipv4/neigh/h-eth0/proxy_delay=0
nsenter --net=/run/netns/earlier-host sysctl -qw net/ipv4/ip_forward=1
nsenter --net=/run/netns/earlier-host ip link add uplink type bridge
nsenter --net=/run/netns/earlier-host ip link set uplink addrgenmode none
nsenter --net=/run/netns/earlier-host ip link set uplink up
nsenter --net=/run/netns/earlier-host ip addr add 192.168.77.1/24 dev uplink
nsenter --net=/run/netns/earlier-host ip route add default via 192.168.77.254
nsenter --net=/run/netns/earlier ip addr add 10.1.90.5/32 dev eth0
nsenter --net=/run/netns/earlier-host ip route add 10.1.90.5/32 dev h-eth0 scope link
nsenter --net=/run/netns/earlier ip route add 169.254.1.1 dev eth0 scope link
nsenter --net=/run/netns/earlier ip route add default via 169.254.1.1 dev eth0
