"""SR-IOV on a host with a real kernel and an emulated card: QEMU's igb, with virtual functions and an IOMMU."""
