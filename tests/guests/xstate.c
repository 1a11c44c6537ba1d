/* Loaded into User Mode Linux (LD_PRELOAD): Linux before 6.13 knows no processor state of more than 2696 bytes.
 *
 * A host whose CPU has more (AMX) refuses to set less than all of it (EFAULT, ptrace(2), PTRACE_SETREGSET). So what
 * User Mode Linux knows is put over the state as it is. */

enum { SYS_ptrace = 101, PTRACE_PEEKUSR = 3, PTRACE_GETREGSET = 0x4204, PTRACE_SETREGSET = 0x4205, XSTATE = 0x202 };

struct iovec {
    char *base;
    unsigned long length;
};

extern long syscall(long number, ...);
extern int *__errno_location(void);

static char whole[65536];

static long set_xstate(long process, struct iovec *known) {
    struct iovec all = {whole, sizeof whole};
    long status = syscall(SYS_ptrace, PTRACE_GETREGSET, process, XSTATE, &all);
    if (status < 0)
        return status;
    for (unsigned long at = 0; at < known->length && at < all.length; at++)
        whole[at] = known->base[at];
    return syscall(SYS_ptrace, PTRACE_SETREGSET, process, XSTATE, &all);
}

long ptrace(long request, long process, long address, void *data) {
    if (request == PTRACE_SETREGSET && address == XSTATE)
        return set_xstate(process, data);
    if (request < 1 || request > PTRACE_PEEKUSR)
        return syscall(SYS_ptrace, request, process, address, data);
    long word, status = syscall(SYS_ptrace, request, process, address, &word); /* as the C library's does */
    if (status < 0)
        return status;
    *__errno_location() = 0;
    return word;
}
