#!/bin/bash
# The naive way: the reference's order, one nsenter process a command, one ebtables call a rule, the interface taken
# down for its MAC, each link deleted by itself. It looks at nothing, checks nothing and notes nothing.
#
#     naive.sh up|down NETNS
set -e

verb=$1
netns=$2
mac=0a:58:0a:01:5a:05
address=10.1.90.5/24
gateway=10.1.90.1

inside() {
    nsenter --net="$netns" "$@"
}

up() {
    inside ip route del default via "$gateway" dev eth0
    inside ip addr del "$address" dev eth0
    inside ip link set dev eth0 down
    inside ip link set dev eth0 address 02:00:00:00:00:01
    inside ip link set dev eth0 up
    inside ip link add name br0 type bridge ageing_time 0
    inside ip link set dev br0 mtu 1500
    inside ip addr add 169.254.254.2/24 dev br0
    inside ip tuntap add dev tap0 mode tap
    inside ip link set dev tap0 mtu 1500
    inside ip link set dev eth0 master br0
    inside ip link set dev tap0 master br0
    inside ebtables -I INPUT -i eth0 -j DROP
    inside ebtables -I OUTPUT -o eth0 -j DROP
    inside ebtables -I FORWARD -p IPv4 -o eth0 --ip-proto udp --ip-dport 67 -j DROP
    inside ip link set dev tap0 up
    inside ip link set dev br0 up
    inside ip link set dev lo up
}

down() {
    inside ip link set dev tap0 down
    inside ip link set dev tap0 nomaster
    inside ip link set dev eth0 nomaster
    inside ip link set dev br0 down
    inside ebtables -D FORWARD -p IPv4 -o eth0 --ip-proto udp --ip-dport 67 -j DROP
    inside ebtables -D OUTPUT -o eth0 -j DROP
    inside ebtables -D INPUT -i eth0 -j DROP
    inside ip link del dev tap0
    inside ip link del dev br0
    inside ip link set dev eth0 down
    inside ip link set dev eth0 address "$mac"
    inside ip link set dev eth0 up
    inside ip addr add "$address" dev eth0
    inside ip route add default via "$gateway" dev eth0
}

"$verb"
