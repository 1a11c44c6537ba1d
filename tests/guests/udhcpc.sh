#!/bin/sh
# What udhcpc calls with a lease in its environment: a client that does what RFC 2131 and RFC 3442 say, and no more.
case $1 in
deconfig)
    ip addr flush dev "$interface" scope global
    ip link set "$interface" up
    ;;
bound | renew)
    echo "lease $1 $ip/$mask mtu=$mtu router=$router routes=$staticroutes dns=$dns search=$search lease=$lease"
    [ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
    ip addr flush dev "$interface" scope global
    ip addr add "$ip/$mask" dev "$interface"
    if [ -n "$staticroutes" ]; then # then the router option is not for this client
        set -- $staticroutes
        while [ $# -gt 1 ]; do
            case $2 in
            0.0.0.0) ip route add "$1" dev "$interface" ;;
            *) ip route add "$1" via "$2" dev "$interface" ;;
            esac
            shift 2
        done
    elif [ -n "$router" ]; then
        ip route add default via "${router%% *}" dev "$interface"
    fi
    {
        [ -z "$search" ] || echo "search $search"
        for server in $dns; do
            echo "nameserver $server"
        done
    } >/etc/resolv.conf
    ;;
esac
