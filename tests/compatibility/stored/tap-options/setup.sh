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
nsenter --net=/run/netns/earlier ip addr add 10.1.90.5/24 dev eth0
nsenter --net=/run/netns/earlier-host ip addr add 10.1.90.1/24 dev h-eth0
nsenter --net=/run/netns/earlier ip route add 0.0.0.0/0 via 10.1.90.1 dev eth0
