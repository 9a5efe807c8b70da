"""What the sandboxed process gives up, by the kernel's own means and without privileges.

    unshare          own user and network namespaces: no interface but an unconfigured loopback
    resource limits  address space, processor time, file size, open files, no core dump
    seccomp          a list of allowed system calls; everything else fails with EPERM

Each is independent of the others. seccomp alone already leaves no way out: no socket, no open, no execve, no
new process or thread, no ptrace, no executable memory; so it doesn't matter that many containers forbid
user namespaces, which are there for kernels without it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from typing import NamedTuple

CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_TSYNC = 1  # all threads of the process, not only this one

# struct seccomp_data (linux/seccomp.h): int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]
OFFSET_NUMBER = 0
OFFSET_ARCHITECTURE = 4
OFFSET_THIRD_ARGUMENT = 16 + 2 * 8  # its low half on little-endian machines
PROT_EXEC = 4

# Classic BPF (linux/bpf_common.h): load a word, compare, test bits, return.
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW = 0x7FFF_0000
KILL_PROCESS = 0x8000_0000
REFUSE = 0x0005_0000 | 1  # SECCOMP_RET_ERRNO with EPERM: libraries handle an error better than a signal


class Machine(NamedTuple):
    """System call numbers of one processor family (asm/unistd.h)."""

    audit_architecture: int  # linux/audit.h
    seccomp: int
    memory: tuple[int, ...]  # calls whose third argument is a protection: allowed unless executable
    allowed: tuple[int, ...]
    first_foreign: int  # from this number on, calls belong to another ABI (x32)


# fmt: off
MACHINES = {
    "x86_64": Machine(
        audit_architecture=0xC000003E,
        seccomp=317,
        memory=(9, 10),  # mmap mprotect
        allowed=(
            0, 1, 17, 18, 19, 20, 295, 296,  # read write pread64 pwrite64 readv writev preadv pwritev
            327, 328,                        # preadv2 pwritev2
            3, 5, 262, 8, 32, 72,            # close fstat newfstatat lseek dup fcntl
            74, 75, 77, 285,                 # fsync fdatasync ftruncate fallocate
            11, 12, 25, 28,                  # munmap brk mremap madvise
            13, 14, 15, 131, 219,            # rt_sigaction _sigprocmask _sigreturn sigaltstack restart
            202, 273, 324, 334, 24, 204,     # futex set_robust_list membarrier rseq sched_yield _getaffinity
            23, 270,                         # select pselect6 (time.sleep before Python 3.11)
            7, 271, 35, 228, 229, 230, 96,   # poll ppoll nanosleep clock_gettime _getres _nanosleep timeofday
            39, 186, 63, 98, 99, 318,        # getpid gettid uname getrusage sysinfo getrandom
            60, 231,                         # exit exit_group
        ),
        first_foreign=0x4000_0000,
    ),
    "aarch64": Machine(
        audit_architecture=0xC00000B7,
        seccomp=277,
        memory=(222, 226),  # mmap mprotect
        allowed=(
            63, 64, 67, 68, 65, 66, 69, 70,  # read write pread64 pwrite64 readv writev preadv pwritev
            286, 287,                        # preadv2 pwritev2
            57, 80, 79, 62, 23, 25,          # close fstat newfstatat lseek dup fcntl
            82, 83, 46, 47,                  # fsync fdatasync ftruncate fallocate
            215, 214, 216, 233,              # munmap brk mremap madvise
            134, 135, 139, 132, 128,         # rt_sigaction _sigprocmask _sigreturn sigaltstack restart
            98, 99, 283, 293, 124, 123,      # futex set_robust_list membarrier rseq sched_yield _getaffinity
            72,                              # pselect6 (time.sleep before Python 3.11)
            73, 101, 113, 114, 115, 169,     # ppoll nanosleep clock_gettime _getres _nanosleep timeofday
            172, 178, 160, 165, 179, 278,    # getpid gettid uname getrusage sysinfo getrandom
            93, 94,                          # exit exit_group
        ),
        first_foreign=0x1_0000_0000,
    ),
}
# fmt: on


class FilterProgram(ctypes.Structure):
    """struct sock_fprog (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def die_with_parent() -> None:
    _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def leave_network() -> str | None:
    """Move into fresh user and network namespaces; the process must have one thread.

    Returns None, or why the kernel refused (many containers forbid user namespaces).
    """
    libc = _libc()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
        return None
    return os.strerror(ctypes.get_errno())


def limit_resources(memory_bytes: int, cpu_s: int, file_bytes: int, open_files: int) -> None:
    """Lower the process's limits. The processor time counts from its start; its end is a SIGXCPU."""
    _lower(resource.RLIMIT_AS, memory_bytes)
    # A hard limit above it, else the kernel sends SIGKILL, which looks like the out-of-memory killer.
    _lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 5)
    _lower(resource.RLIMIT_FSIZE, file_bytes)
    _lower(resource.RLIMIT_NOFILE, open_files)
    _lower(resource.RLIMIT_CORE, 0)


def filter_system_calls() -> str | None:
    """Allow only what computing on open descriptors needs, for ever. Returns None, or why that failed."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return f"no list of system calls for {platform.machine()}"
    instructions = filter_instructions(machine)
    program = FilterProgram(len(instructions) // 8, instructions)
    libc = _libc()
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return os.strerror(ctypes.get_errno())
    mode, flags = SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
    if libc.syscall(machine.seccomp, mode, flags, ctypes.byref(program)) != 0:
        return os.strerror(ctypes.get_errno())
    return None


def filter_instructions(machine: Machine) -> bytes:
    """The filter as an array of struct sock_filter: __u16 code; __u8 jt; __u8 jf; __u32 k."""
    program = [
        (LOAD, 0, 0, OFFSET_ARCHITECTURE),
        (JUMP_EQUAL, 1, 0, machine.audit_architecture),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, OFFSET_NUMBER),
    ]
    if machine.first_foreign < 1 << 32:
        program += [(JUMP_AT_LEAST, 0, 1, machine.first_foreign), (RETURN, 0, 0, KILL_PROCESS)]
    for number in machine.allowed:
        program += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    for number in machine.memory:
        program += [
            (JUMP_EQUAL, 0, 4, number),
            (LOAD, 0, 0, OFFSET_THIRD_ARGUMENT),
            (JUMP_ANY_BIT, 0, 1, PROT_EXEC),
            (RETURN, 0, 0, REFUSE),
            (RETURN, 0, 0, ALLOW),
        ]
    program.append((RETURN, 0, 0, REFUSE))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    _, present = resource.getrlimit(kind)
    ceiling = soft if hard is None else hard
    if present != resource.RLIM_INFINITY:
        ceiling = min(ceiling, present)
    resource.setrlimit(kind, (min(soft, ceiling), ceiling))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
