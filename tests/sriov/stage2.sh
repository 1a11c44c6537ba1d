# What the host does once it has its root: a card with virtual functions, and then the tests of inside/.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PODWIRE_SRIOV_HOST=1 PODWIRE_SANDBOX=$(readlink /proc/self/ns/net)
for word in $(cat /proc/cmdline); do
    case $word in
        CHECKOUT=*) checkout=${word#CHECKOUT=} ;;
        PYTEST=*) arguments=$(printf %s "${word#PYTEST=}" | base64 -d) ;;
    esac
done
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
for module in igb igbvf vfio-pci 8021q tun bridge br_netfilter nf_tables nft_compat ebtables veth; do
    modprobe "$module" 2>/dev/null
done
card=/sys/class/net/eth0
ip link set lo up
ip link set eth0 up
# sriov_numvfs resets the card: without a carrier before, and one after, what is pinned there would not hold
carrier() {
    for ((i = 0; i < 200; i++)); do
        [[ $(cat $card/carrier 2>/dev/null) == 1 ]] && return
        sleep 0.05
    done
}
carrier
echo 3 >$card/device/sriov_numvfs
for ((i = 0; i < 200; i++)); do
    [[ -d $card/device/virtfn2/net ]] && break
    sleep 0.05
done
carrier
cd "$checkout" || exit
echo "@@up $(cut -d' ' -f1 /proc/uptime)"
# without the plugins of others, which take longer to load here than the tests take
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONDONTWRITEBYTECODE=1
eval ".venv/bin/python -m pytest -p no:cacheprovider --color=no --junit-xml=/tmp/junit.xml $arguments"
echo "@@status $?"
echo "@@junit"
base64 -w 0 /tmp/junit.xml
echo
echo "@@done $(cut -d' ' -f1 /proc/uptime)"
echo o >/proc/sysrq-trigger
while :; do :; done
