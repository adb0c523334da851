package gramine

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// device is a folder with FIFOs that behaves as Gramine's /dev/attestation does: the report data that was
// written last, by whomever, is the state of all; a quote carries the state of the instant at which its file is opened.
type device struct {
	t        *testing.T
	dir      string
	platform *simulated.Platform
	data     *os.File     // the FIFO of the report data. What is in its buffer was written, and not looked at yet
	writes   atomic.Int32 // how often report data was written, as far as it was looked at
	quotes   atomic.Int32 // how many quotes were asked for
	opened   func()       // is called when the file of a quote was opened, before it is made
}

// newDevice serves until the test ends.
func newDevice(t *testing.T, platform *simulated.Platform, opened func()) *device {
	d := &device{t: t, dir: t.TempDir(), platform: platform, opened: opened}
	path := filepath.Join(d.dir, fileData)
	mkfifo(t, path)
	// Open at both ends, it takes what is written at once, as Gramine does. A quote waits for no writer.
	var err error
	if d.data, err = os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.data.Close() })
	d.serve(fileQuote, d.quote)
	if err := os.WriteFile(filepath.Join(d.dir, fileType), []byte("dcap"), 0o600); err != nil { // it never changes
		t.Fatal(err)
	}
	return d
}

func (d *device) quote() []byte {
	d.quotes.Add(1)
	if d.opened != nil {
		d.opened()
	}
	e, err := d.platform.Quote(d.t.Context(), d.state())
	if err != nil {
		d.t.Error(err)
		return nil
	}
	return e.Quote
}

// state is the report data that was written last.
func (d *device) state() (last [64]byte) {
	connection, err := d.data.SyscallConn()
	if err != nil {
		d.t.Error(err)
		return
	}
	err = connection.Read(func(fd uintptr) bool {
		for {
			var next [64]byte
			n, err := syscall.Read(int(fd), next[:])
			switch {
			case errors.Is(err, syscall.EAGAIN):
				return true
			case err != nil || n != len(next):
				d.t.Errorf("report data: got %d bytes, %v", n, err)
				return true
			}
			last = next
			d.writes.Add(1)
		}
	})
	if err != nil {
		d.t.Error(err)
	}
	return last
}

// serve lets a file be read. Each reader has a FIFO of his own, which is replaced as soon as he has opened
// it: two in a row on the same would be one to the kernel, and the first would not see where his content ends.
func (d *device) serve(name string, content func() []byte) {
	path := filepath.Join(d.dir, name)
	mkfifo(d.t, path)
	var stopped atomic.Bool
	var served sync.WaitGroup
	served.Go(func() {
		for !stopped.Load() {
			w, err := os.OpenFile(path, os.O_WRONLY, 0) // waits for a reader
			if err != nil {
				d.t.Error(err)
				return
			}
			if stopped.Load() {
				w.Close()
				return
			}
			mkfifo(d.t, path+".next")
			if err := os.Rename(path+".next", path); err != nil {
				d.t.Error(err)
			}
			if _, err := w.Write(content()); err != nil && !errors.Is(err, syscall.EPIPE) { // he may read less
				d.t.Error(err)
			}
			w.Close()
		}
	})
	d.t.Cleanup(func() {
		stopped.Store(true)
		r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // the reader that it waits for
		if err != nil {
			d.t.Error(err)
			return
		}
		defer r.Close()
		served.Wait()
	})
}

func mkfifo(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Error(err)
	}
}
