#include "channel/waker.h"

#include <stdexcept>

#if defined(_WIN32)
#    include <winsock2.h>
#    include <ws2tcpip.h>
#else
#    include <cerrno>
#    include <fcntl.h>
#    include <unistd.h>
#    if defined(__linux__)
#        include <sys/eventfd.h>
#    endif
#endif

namespace la {

#if defined(_WIN32)

// Not yet run: written for Windows, where only sockets can be polled.
Waker::Waker() {
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
    const SOCKET listener = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int size = sizeof(address);
    const SOCKET out = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    if (bind(listener, reinterpret_cast<sockaddr *>(&address), size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, reinterpret_cast<sockaddr *>(&address), &size) != 0 ||
        connect(out, reinterpret_cast<sockaddr *>(&address), size) != 0) {
        closesocket(listener);
        closesocket(out);
        throw std::runtime_error("cannot create the wake-up socket pair");
    }
    const SOCKET in = accept(listener, nullptr, nullptr);
    closesocket(listener);
    u_long non_blocking = 1;
    ioctlsocket(in, FIONBIO, &non_blocking);
    ioctlsocket(out, FIONBIO, &non_blocking);
    read_fd_ = static_cast<intptr_t>(in);
    write_fd_ = static_cast<intptr_t>(out);
}

Waker::~Waker() {
    closesocket(static_cast<SOCKET>(read_fd_));
    closesocket(static_cast<SOCKET>(write_fd_));
    WSACleanup();
}

void Waker::wake() {
    if (!pending_.exchange(true, std::memory_order_acq_rel)) {
        n_wakeups_.fetch_add(1, std::memory_order_relaxed);
        send(static_cast<SOCKET>(write_fd_), "x", 1, 0);
    }
}

void Waker::clear() {
    char bytes[64];
    while (recv(static_cast<SOCKET>(read_fd_), bytes, sizeof(bytes), 0) > 0) {
    }
    pending_.exchange(false, std::memory_order_acq_rel);
}

#else

Waker::Waker() {
#    if defined(__linux__)
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        throw std::runtime_error("cannot create the wake-up eventfd: out of file descriptors?");
    }
    read_fd_ = write_fd_ = fd;
#    else
    int fds[2];
    if (pipe(fds) != 0) {
        throw std::runtime_error("cannot create the wake-up pipe: out of file descriptors?");
    }
    for (int fd : fds) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    read_fd_ = fds[0];
    write_fd_ = fds[1];
#    endif
}

Waker::~Waker() {
    close(static_cast<int>(read_fd_));
    if (write_fd_ != read_fd_) {
        close(static_cast<int>(write_fd_));
    }
}

void Waker::wake() {
    if (pending_.exchange(true, std::memory_order_acq_rel)) {
        return;
    }
    n_wakeups_.fetch_add(1, std::memory_order_relaxed);
    const uint64_t one = 1; // an eventfd takes exactly 8 bytes; a pipe does not care
    // EAGAIN means that it is readable already, which is all we want.
    while (write(static_cast<int>(write_fd_), &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

void Waker::clear() {
    uint64_t value;
    while (read(static_cast<int>(read_fd_), &value, sizeof(value)) > 0 && read_fd_ != write_fd_) {
    }
    // After the read: a wake() in between finds pending_ still set and writes nothing, but its data was posted before,
    // so the drain that follows this call takes it.
    pending_.exchange(false, std::memory_order_acq_rel);
}

#endif

} // namespace la
