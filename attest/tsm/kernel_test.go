package tsm

import (
	"crypto/rand"
	"encoding/binary"
	"io/fs"
	"path"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/configfs/faketsm"

	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

// kernel stands in for configfs-tsm: faketsm's entries and generations, with the attributes of a provider, and faults.
type kernel struct {
	configfsi.Client
	reports  *faketsm.ReportSubsystem
	provider string
	out      func(data [64]byte) []byte // makes a report
	aux      []byte
	made     atomic.Int32 // how many reports were made

	// fault is asked before each operation ("mkdir", "read", "write", "remove") on an attribute, or on an entry, whose name is then
	// empty. What it returns is the kernel's error.
	fault func(op, attribute string) error
	// race is called while a report is made.
	race func(e *faketsm.ReportEntry)
}

func newKernel(provider string, out func(data [64]byte) []byte) *kernel {
	k := &kernel{provider: provider, out: out}
	k.reports = &faketsm.ReportSubsystem{
		Random:  rand.Reader,
		Entries: map[string]*faketsm.ReportEntry{},
		MakeEntry: func() *faketsm.ReportEntry {
			return &faketsm.ReportEntry{InAttrs: map[string]*faketsm.ReportAttributeState{"inblob": {}}}
		},
		CheckInAttr: func(_ *faketsm.ReportEntry, attribute string, content []byte) error {
			if attribute != "inblob" || len(content) != 64 { // neither a privilege level nor a service is asked for
				return syscall.EINVAL
			}
			return nil
		},
		ReadAttr: k.attribute,
	}
	k.Client = &faketsm.Client{Subsystems: map[string]configfsi.Client{"report": k.reports}}
	return k
}

// attribute is what is read of an entry, but for its generation.
func (k *kernel) attribute(e *faketsm.ReportEntry, name string) ([]byte, error) {
	switch {
	case name == "provider":
		return []byte(k.provider + "\n"), nil
	case name == "auxblob" && k.provider == SEVGuest: // else it is not visible (tsm_report_is_bin_visible)
		return k.aux, nil
	case name == "outblob":
		k.made.Add(1)
		if k.race != nil {
			k.race(e)
		}
		return k.out([64]byte(e.InAttrs["inblob"].Value)), nil
	}
	return nil, fs.ErrNotExist
}

func (k *kernel) failed(op, path, attribute string) error {
	if k.fault == nil {
		return nil
	}
	if err := k.fault(op, attribute); err != nil {
		return &fs.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}

func (k *kernel) MkdirTemp(dir, pattern string) (string, error) {
	if err := k.failed("mkdir", dir+"/entry1", ""); err != nil {
		return "", err
	}
	return k.Client.MkdirTemp(dir, pattern)
}

func (k *kernel) ReadFile(name string) ([]byte, error) {
	if err := k.failed("read", name, path.Base(name)); err != nil {
		return nil, err
	}
	return k.Client.ReadFile(name)
}

func (k *kernel) WriteFile(name string, content []byte) error {
	if err := k.failed("write", name, path.Base(name)); err != nil {
		return err
	}
	return k.Client.WriteFile(name, content)
}

func (k *kernel) RemoveAll(name string) error {
	if err := k.failed("remove", name, ""); err != nil {
		return err
	}
	return k.Client.RemoveAll(name)
}

// tdx makes quotes of a simulated trust domain.
func tdx(t testing.TB, p *simulated.Platform) func([64]byte) []byte {
	return func(data [64]byte) []byte {
		e, err := p.Quote(t.Context(), data)
		if err != nil {
			t.Error(err)
			return nil
		}
		return e.Quote
	}
}

// sev makes reports with nothing in them but their version and the report data.
func sev(data [64]byte) []byte {
	out := make([]byte, kds.ReportSize)
	binary.LittleEndian.PutUint32(out, 2)
	copy(out[0x50:], data[:])
	return out
}
