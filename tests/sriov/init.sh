#!/bin/busybox sh
# The first program of the host: its root is this machine's, read-only, with what it writes kept in memory.
PATH=/bin
B=/bin/busybox
$B mkdir -p /proc /sys /dev /lower /rw /root
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t devtmpfs devtmpfs /dev
for module in $($B cat /modules/order); do $B insmod /modules/$module.ko; done
for word in $($B cat /proc/cmdline); do
    case $word in
        FETCHED=*) fetched=${word#FETCHED=} ;;
        STAGE2=*) stage2=${word#STAGE2=} ;;
    esac
done
$B mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose machine /lower
$B mount -t tmpfs tmpfs /rw
$B mkdir -p /rw/upper /rw/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work overlay /root
for name in proc sys dev; do $B mount -o move /$name /root/$name; done
for name in run var/lib; do $B mount -t tmpfs tmpfs /root/$name; done
$B mkdir -p /root/run/netns /root/lib/modules
$B mount -o bind "/lower$fetched/host/lib/modules" /root/lib/modules
$B ln -sf "$fetched/busybox" /root/sbin/modprobe
$B ln -sf /proc/self/fd /root/dev/fd
# modules are only loaded by who has the real root (switch_root, not chroot)
exec $B switch_root /root /bin/bash "$stage2"
