package tsm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/report"
)

// maxBlob bounds what is read, in bytes; the kernel's own bound is some 32 KiB.
const maxBlob = 1 << 20

// client is a file system that remembers the entry that was made, so that it is removed on every way out, and what
// failed last, since the errors of package report say it in words alone.
type client struct {
	configfsi.Client
	entry  string // not yet removed
	failed error
}

func (c *client) MkdirTemp(dir, pattern string) (string, error) {
	entry, err := c.Client.MkdirTemp(dir, pattern)
	if err == nil {
		c.entry = entry
	}
	return entry, c.note(err)
}

func (c *client) ReadFile(name string) ([]byte, error) {
	data, err := c.Client.ReadFile(name)
	if err == nil && len(data) > maxBlob {
		data, err = nil, fmt.Errorf("got more than %d bytes", maxBlob)
	}
	return data, c.note(err)
}

func (c *client) WriteFile(name string, contents []byte) error {
	return c.note(c.Client.WriteFile(name, contents))
}

func (c *client) RemoveAll(path string) error {
	err := c.Client.RemoveAll(path)
	if path == c.entry && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		c.entry = ""
		return nil
	}
	return err
}

// remove removes the entry, if there still is one.
func (c *client) remove() error {
	if c.entry == "" {
		return nil
	}
	return c.RemoveAll(c.entry)
}

func (c *client) note(err error) error {
	if err != nil {
		c.failed = err
	}
	return err
}

// remedies are what to do about the errors of the kernel (drivers/virt/coco), in words.
var remedies = []struct {
	is    error
	words string
}{
	{syscall.ENXIO, "no driver makes reports: is this a confidential guest, and its driver loaded (modprobe tdx_guest, or sev_guest)?"},
	{syscall.ENOTTY, "the driver makes no reports any more: for SEV-SNP, the key for messages to the processor is disabled until the guest is started anew"},
	{syscall.EBUSY, "the host has not answered an earlier request; see its quote generation service (QGS) if it stays so"},
	{syscall.EWOULDBLOCK, "the report was replaced while it was read"},
	{syscall.ETIMEDOUT, "the host did not answer; see its quote generation service (QGS)"},
	{syscall.EIO, "the host or the processor refused; see the kernel's log, and for TDX the host's quote generation service (QGS)"},
	{fs.ErrPermission, "the entries belong to root: run the broker as root, or give its user the folder"},
	{fs.ErrNotExist, "want Linux 6.7 or later with CONFIG_TSM_REPORTS, configfs mounted (mount -t configfs none /sys/kernel/config) " +
		"and the guest's driver loaded (modprobe tdx_guest, or sev_guest)"},
}

// explain adds what failed below to what package report says, and what to do about it.
func explain(err, failed error) error {
	if report.GetGenerationErr(err) != nil {
		return fmt.Errorf("%w: somebody else writes to the entries of configfs-tsm", err)
	}
	for _, r := range remedies {
		if errors.Is(failed, r.is) {
			return &fault{err.Error() + ": " + r.words + atHand(failed), failed}
		}
	}
	if failed != nil {
		return &fault{err.Error(), failed}
	}
	return err
}

// atHand tells how much there is of a path that is not there as a whole.
func atHand(failed error) string {
	missing, ok := errors.AsType[*fs.PathError](failed)
	if !ok || !errors.Is(failed, fs.ErrNotExist) {
		return ""
	}
	for dir := path.Dir(missing.Path); dir != "/" && dir != "."; dir = path.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			return "; of the path, there is " + dir
		}
	}
	return ""
}

// fault is an error in words, which wraps another.
type fault struct {
	words string
	cause error
}

func (f *fault) Error() string { return f.words }
func (f *fault) Unwrap() error { return f.cause }

// passing tells whether it may go well another time, soon.
func passing(err error) bool {
	return report.GetGenerationErr(err) != nil || errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR)
}
