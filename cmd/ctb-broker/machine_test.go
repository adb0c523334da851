package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	hfnsm "github.com/hf/nsm"

	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// machine is a folder that stands in for the root of a machine, with no hardware at first.
type machine struct {
	t     *testing.T
	dir   string
	guest *simulated.Platform // makes the reports of configfs-tsm
}

func newMachine(t *testing.T) machine { return machine{t: t, dir: t.TempDir()} }

// put makes a file, and the folders above it. Of a path that ends in a slash it makes a folder.
func (m machine) put(path, text string) {
	m.t.Helper()
	full := filepath.Join(m.dir, path)
	folder := filepath.Dir(full)
	if strings.HasSuffix(path, "/") {
		folder = full
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		m.t.Fatal(err)
	}
	if folder == full {
		return
	}
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) gramine(kind string)  { m.put("dev/attestation/attestation_type", kind) }
func (m machine) tsm(provider string)  { m.put("provider", provider+"\n"); m.put(pathTSM+"/", "") }
func (m machine) nsm()                 { m.put("dev/nsm", ""); m.put("module", "") }
func (m machine) path(p string) string { return filepath.Join(m.dir, p) }

// places are those of the machine.
func (m machine) places() places {
	options := &hfnsm.Options{Open: func() (hfnsm.FileDescriptor, error) { return os.Open(m.path("dev/nsm")) }, Syscall: syscall.Syscall}
	if _, err := os.Stat(m.path("module")); err == nil {
		options.Syscall = moduleCall
	}
	return places{attestation: m.path("dev/attestation"), tsmClient: configfs(m), nsmOptions: options}
}

// configfs makes the files of an entry as the kernel does, below the machine's folder.
type configfs machine

func (c configfs) MkdirTemp(dir, pattern string) (string, error) {
	entry, err := os.MkdirTemp(machine(c).path(dir), pattern)
	if err != nil {
		return "", err
	}
	provider, err := os.ReadFile(machine(c).path("provider"))
	err = errors.Join(err, os.WriteFile(filepath.Join(entry, "provider"), provider, 0o600), os.WriteFile(filepath.Join(entry, "generation"), []byte("0\n"), 0o600))
	return strings.TrimPrefix(entry, c.dir), err
}

func (c configfs) WriteFile(name string, content []byte) error {
	generation := machine(c).path(filepath.Join(filepath.Dir(name), "generation"))
	text, err := os.ReadFile(generation)
	if err != nil {
		return err
	}
	before, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return errors.Join(err, os.WriteFile(machine(c).path(name), content, 0o600), os.WriteFile(generation, []byte(strconv.Itoa(before+1)), 0o600))
}

func (c configfs) ReadFile(name string) ([]byte, error) {
	if filepath.Base(name) != "outblob" {
		return os.ReadFile(machine(c).path(name))
	}
	data, err := os.ReadFile(machine(c).path(filepath.Join(filepath.Dir(name), "inblob")))
	if err != nil {
		return nil, err
	}
	e, err := c.guest.Quote(c.t.Context(), [64]byte(data))
	if err != nil {
		return nil, err
	}
	return e.Quote, nil
}

func (c configfs) ReadDir(name string) ([]os.DirEntry, error) {
	return os.ReadDir(machine(c).path(name))
}
func (c configfs) RemoveAll(name string) error { return os.RemoveAll(machine(c).path(name)) }

var _ configfsi.Client = configfs{}

// module is the id of the machine's Nitro security module, if it has one.
const module = "i-0123456789abcdef0-enc0123456789abcdef"

// moduleCall is a system call of a module that only says who it is. It is called with the address of its message on
// its caller's stack, as a number, which the runtime does not follow when it moves the stack: so a pointer is made of it first of all.
//
//go:nosplit
func moduleCall(_, _, _, a3 uintptr) (r1, r2 uintptr, err syscall.Errno) {
	describe(*(**message)(unsafe.Pointer(&a3)))
	return 0, 0, 0
}

// message is the argument of the ioctl (linux/nsm.h, struct nsm_raw).
type message struct{ _, response syscall.Iovec }

// describe answers DescribeNSM, in CBOR: {"DescribeNSM": {"module_id": module}}.
func describe(m *message) {
	answer := "\xa1\x6bDescribeNSM\xa1\x69module_id\x78" + string(rune(len(module))) + module
	m.response.SetLen(copy(unsafe.Slice(m.response.Base, m.response.Len), answer))
}
