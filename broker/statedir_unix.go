//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package broker

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// openCarefully follows no symbolic link, and does not wait for the other end of a FIFO.
const openCarefully = syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC

// lockFile locks f for this process, until it closes f or ends, however it ends. Where the file system
// or the kernel (Gramine's, unless its manifest says otherwise) knows no such locks, there is none.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("%s: another broker uses this directory; give each its own, or end the other", f.Name())
	case errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOLCK):
		return nil
	}
	return err
}
