#!/bin/busybox sh
# The first program of the VM: it uses the virtual function that it was given, and waits for a line before it ends.
PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
insmod /igbvf.ko
until [ -d /sys/class/net/eth0 ]; do sleep 0.2; done
ip link set eth0 up
ip addr add 10.3.0.5/24 dev eth0
echo "@@mac $(cat /sys/class/net/eth0/address)"
ping -c 60 -w 120 10.3.0.1 | while read -r line; do
    case $line in *'bytes from'*)
        echo "@@answered $line"
        killall ping
        ;;
    esac
done
echo '@@over'
read -r _
poweroff -f
