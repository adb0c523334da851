package tsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-configfs-tsm/configfs/faketsm"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

var _ tee.Quoter = (*Quoter)(nil)

func newPlatform(t testing.TB, kind string) *simulated.Platform {
	t.Helper()
	p, err := simulated.New(simulated.Config{TEE: kind})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// numbered is report data that is nobody else's.
func numbered(i int) (data [64]byte) {
	binary.BigEndian.PutUint64(data[:], uint64(i+1))
	binary.BigEndian.PutUint64(data[56:], ^uint64(i)) // the last bytes count too
	return data
}

// Each of a thousand who ask a TDX guest at once gets the quote that carries his report data, and some are verified to the root.
func TestAThousandAtOnceOnTDX(t *testing.T) {
	p := newPlatform(t, "tdx")
	k := newKernel(TDXGuest, tdx(t, p))
	q := &Quoter{Client: k}
	verifier := &dcap.Verifier{Root: p.Root(), Collateral: p.Collateral()}
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			e, err := q.Quote(t.Context(), numbered(i))
			if err != nil {
				t.Error(err)
				return
			}
			if e.Platform != tee.DCAP || e.Collateral != nil || !e.NotAfter.IsZero() {
				t.Errorf("got %q with %d bytes of collateral until %v", e.Platform, len(e.Collateral), e.NotAfter)
			}
			if parsed, err := dcap.ParseQuote(e.Quote); err != nil || parsed.TD.ReportData != numbered(i) {
				t.Errorf("%d: got a quote with other report data, %v", i, err)
			}
			if i%100 != 0 {
				return
			}
			if report, err := verifier.Verify(t.Context(), e, time.Now()); err != nil || report.Data != numbered(i) || report.TEE != tee.TDX {
				t.Errorf("%d: got %+v, %v", i, report, err)
			}
		})
	}
	all.Wait()
	if made := k.made.Load(); made != 1000 || len(k.reports.Entries) != 0 {
		t.Errorf("%d reports were made, %d entries are left", made, len(k.reports.Entries))
	}
}

// The same on SEV-SNP; each report comes with the certificates of the host's table.
func TestAThousandAtOnceOnSEV(t *testing.T) {
	k := newKernel(SEVGuest, sev)
	k.aux = table("the VCEK's certificate")
	q := &Quoter{Client: k, Provider: SEVGuest}
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			e, err := q.Quote(t.Context(), numbered(i))
			if err != nil {
				t.Error(err)
				return
			}
			if data := numbered(i); e.Platform != tee.SNP || !bytes.Equal(e.Quote, sev(data)) || !e.NotAfter.IsZero() {
				t.Errorf("%d: got other evidence", i)
			}
			if c, err := kds.ParseCollateral(e.Collateral); err != nil || string(c.Leaf) != "the VCEK's certificate" {
				t.Errorf("%d: got the certificates %s, %v", i, e.Collateral, err)
			}
		})
	}
	all.Wait()
	if len(k.reports.Entries) != 0 {
		t.Errorf("%d entries are left", len(k.reports.Entries))
	}
}

// table is a host's table with one certificate (AMD publication 56421, "SNP Extended Guest Request").
func table(vcek string) []byte {
	b := []byte{0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd}
	b = binary.LittleEndian.AppendUint32(b, 48) // behind this entry and the last, of zeros
	b = binary.LittleEndian.AppendUint32(b, uint32(len(vcek)))
	return append(append(b, make([]byte, 24)...), vcek...)
}

// A table is the host's word. One that is absent or broken takes nothing from the evidence but the certificates.
func TestTablesThatAreOfNoUse(t *testing.T) {
	for name, aux := range map[string][]byte{
		"none": nil, "of zeros": make([]byte, 4096), "torn": table("certificate")[:30], "junk": bytes.Repeat([]byte{0xff}, 999), "of no certificate": table(""),
		"too large in JSON": table(strings.Repeat("certificate", 20000)),
	} {
		k := newKernel(SEVGuest, sev)
		k.aux = aux
		e, err := (&Quoter{Client: k}).Quote(t.Context(), numbered(1))
		if err != nil || e.Collateral != nil {
			t.Errorf("%s: got %+v, %v, want evidence without collateral", name, e, err)
		}
	}
}

func TestDetect(t *testing.T) {
	for _, provider := range []string{TDXGuest, SEVGuest} {
		for _, wanted := range []string{"", provider} {
			k := newKernel(provider, nil)
			got, err := (&Quoter{Client: k, Provider: wanted}).Detect(t.Context())
			if err != nil || got != provider || k.made.Load() != 0 || len(k.reports.Entries) != 0 {
				t.Errorf("got %q, %v; %d reports were made, %d entries are left", got, err, k.made.Load(), len(k.reports.Entries))
			}
		}
	}
}

func TestEachFailureIsClear(t *testing.T) {
	p, other := newPlatform(t, "tdx"), newPlatform(t, "sgx")
	quote := tdx(t, p)
	constant := func(b []byte) func([64]byte) []byte { return func([64]byte) []byte { return b } }
	failing := func(op, attribute string, err error) func(string, string) error {
		return func(o, a string) error { return when(o == op && a == attribute, err) }
	}
	for name, c := range map[string]struct {
		provider, wanted string // TDXGuest, if empty; any
		out              func([64]byte) []byte
		fault            func(op, attribute string) error
		race             func(*faketsm.ReportEntry)
		is               error
		says             []string
	}{
		"no configfs-tsm": {fault: failing("mkdir", "", syscall.ENOENT), is: fs.ErrNotExist,
			says: []string{"/sys/kernel/config/tsm/report", "CONFIG_TSM_REPORTS", "mount -t configfs none /sys/kernel/config", "modprobe tdx_guest"}},
		"no driver":             {fault: failing("mkdir", "", syscall.ENXIO), is: syscall.ENXIO, says: []string{"no driver makes reports"}},
		"no permission":         {fault: failing("mkdir", "", syscall.EACCES), is: fs.ErrPermission, says: []string{"as root"}},
		"no generation":         {fault: failing("read", "generation", syscall.EIO), is: syscall.EIO, says: []string{"generation"}},
		"no writing":            {fault: failing("write", "inblob", syscall.EPERM), is: fs.ErrPermission, says: []string{"inblob", "as root"}},
		"no provider":           {fault: failing("read", "provider", syscall.ENXIO), is: syscall.ENXIO, says: []string{"provider"}},
		"a driver that is gone": {fault: failing("read", "outblob", syscall.ENOTTY), is: syscall.ENOTTY, says: []string{"outblob", "started anew"}},
		"a host that refuses":   {fault: failing("read", "outblob", syscall.EIO), is: syscall.EIO, says: []string{"outblob", "quote generation service"}},
		"a host that is slow":   {fault: failing("read", "outblob", syscall.ETIMEDOUT), is: syscall.ETIMEDOUT, says: []string{"the host did not answer"}},
		"a host that is busy":   {fault: failing("read", "outblob", syscall.EBUSY), is: syscall.EBUSY, says: []string{"an earlier request"}},
		"a signal":              {fault: failing("read", "outblob", syscall.EINTR), is: syscall.EINTR, says: []string{"interrupted"}},
		"always another report": {fault: failing("read", "outblob", syscall.EWOULDBLOCK), is: syscall.EWOULDBLOCK, says: []string{"replaced while it was read"}},
		"an error of no name":   {fault: failing("read", "outblob", syscall.ENOMEM), is: syscall.ENOMEM, says: []string{"outblob", "cannot allocate memory"}},
		"no certificate table":  {provider: SEVGuest, out: sev, fault: failing("read", "auxblob", syscall.EIO), is: syscall.EIO, says: []string{"auxblob"}},
		"always written to": {race: func(e *faketsm.ReportEntry) { e.WriteGeneration++ },
			says: []string{"report generation was 2 when expecting 1", "somebody else writes to the entries"}},
		"SEV-SNP in TDX's place": {provider: SEVGuest, wanted: TDXGuest, says: []string{`the provider here is "sev_guest", want "tdx_guest"`}},
		"TDX in SEV-SNP's place": {provider: TDXGuest, wanted: SEVGuest, says: []string{`the provider here is "tdx_guest", want "sev_guest"`}},
		"another provider":       {provider: "arm_cca_guest", says: []string{`"arm_cca_guest", want "tdx_guest" or "sev_guest"`}},
		"a provider of no name":  {provider: " ", says: []string{`the provider here is "", want`}},
		"an empty quote":         {out: constant(nil), says: []string{"got 0 bytes that are no whole quote"}},
		"a short quote":          {out: func(d [64]byte) []byte { return quote(d)[:1000] }, says: []string{"got 1000 bytes that are no whole quote"}},
		"an oversize quote":      {out: constant(make([]byte, maxBlob+1)), says: []string{"outblob", "got more than 1048576 bytes"}},
		"other report data":      {out: constant(quote(numbered(1))), says: []string{fmt.Sprintf("other report data than was asked for: got %x, want %x", numbered(1), numbered(7))}},
		"a quote of SGX":         {out: constant(tdx(t, other)(numbered(7))), says: []string{"got a quote of SGX, want one of TDX"}},
		"an empty report":        {provider: SEVGuest, out: constant(nil), says: []string{"got 0 bytes that are no whole report, want 1184"}},
		"a short report":         {provider: SEVGuest, out: func(d [64]byte) []byte { return sev(d)[:1183] }, says: []string{"got 1183 bytes that are no whole report"}},
		"a long report":          {provider: SEVGuest, out: func(d [64]byte) []byte { return append(sev(d), 0) }, says: []string{"got 1185 bytes"}},
		"other data in a report": {provider: SEVGuest, out: constant(sev(numbered(1))), says: []string{"sev_guest", "other report data"}},
		"a panic":                {out: func([64]byte) []byte { panic("torn") }, says: []string{"panic: torn"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // it waits between its tries
				k := newKernel(c.provider, c.out)
				if c.provider == "" {
					k.provider = TDXGuest
				}
				if c.out == nil {
					k.out = quote
				}
				k.fault, k.race = c.fault, c.race
				_, err := (&Quoter{Client: k, Provider: c.wanted}).Quote(t.Context(), numbered(7))
				for _, words := range append(c.says, "configfs-tsm: ") {
					if err == nil || !strings.Contains(err.Error(), words) {
						t.Errorf("got %v, want … %s", err, words)
					}
				}
				if c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("got %v, want one that is %v", err, c.is)
				}
				if len(k.reports.Entries) != 0 {
					t.Errorf("%d entries are left", len(k.reports.Entries))
				}
			})
		})
	}
}

// when is the error, if there is one.
func when(fails bool, err error) error {
	if fails {
		return err
	}
	return nil
}

// What passes is tried again, a few times, after a while, each time in a new entry.
func TestWhatPassesIsTriedAgain(t *testing.T) {
	for _, passes := range []error{syscall.EBUSY, syscall.EWOULDBLOCK, syscall.EINTR, nil} {
		synctest.Test(t, func(t *testing.T) {
			k := newKernel(SEVGuest, sev)
			var entries, attempts int
			k.fault = func(op, attribute string) error {
				if op == "mkdir" {
					entries++
				}
				if op == "read" && attribute == "outblob" && passes != nil {
					if attempts++; attempts < tries {
						return passes
					}
				}
				return nil
			}
			k.race = func(e *faketsm.ReportEntry) { // somebody else writes
				if attempts++; passes == nil && attempts < tries {
					e.WriteGeneration++
				}
			}
			begun := time.Now()
			if _, err := (&Quoter{Client: k}).Quote(t.Context(), numbered(1)); err != nil {
				t.Errorf("%v: %v", passes, err)
			}
			if took := time.Since(begun); entries != tries || took != 3*pause || len(k.reports.Entries) != 0 {
				t.Errorf("%v: %d entries in %v, of which %d are left", passes, entries, took, len(k.reports.Entries))
			}
		})
	}
	t.Run("but not when nobody waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := newKernel(SEVGuest, sev)
			entries := 0
			k.fault = func(op, attribute string) error {
				if op == "mkdir" {
					entries++
				}
				return when(attribute == "outblob", syscall.EBUSY)
			}
			ctx, cancel := context.WithTimeout(t.Context(), pause/2)
			defer cancel()
			if _, err := (&Quoter{Client: k}).Quote(ctx, numbered(1)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if entries != 1 || len(k.reports.Entries) != 0 {
				t.Errorf("%d entries, of which %d are left", entries, len(k.reports.Entries))
			}
		})
	})
}

// An entry that can't be removed spoils no evidence, but no second one is left beside it.
func TestEntryThatStays(t *testing.T) {
	k := newKernel(SEVGuest, sev)
	stays := true
	k.fault = func(op, _ string) error { return when(op == "remove" && stays, syscall.ENOMEM) }
	q := &Quoter{Client: k}
	if _, err := q.Quote(t.Context(), numbered(1)); err != nil {
		t.Error(err)
	}
	for range 3 {
		if _, err := q.Quote(t.Context(), numbered(2)); !errors.Is(err, syscall.ENOMEM) || !strings.Contains(err.Error(), "the entry of an earlier report can't be removed") {
			t.Errorf("got %v", err)
		}
	}
	if len(k.reports.Entries) != 1 {
		t.Errorf("%d entries are left, want one", len(k.reports.Entries))
	}
	stays = false
	if _, err := q.Quote(t.Context(), numbered(3)); err != nil || len(k.reports.Entries) != 0 {
		t.Errorf("afterwards: %v, %d entries are left", err, len(k.reports.Entries))
	}
}

// A report that is slow keeps nobody beyond his context, and no second one begins beside it; afterwards all is well.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel(SEVGuest, sev)
		hold := make(chan struct{})
		k.race = func(*faketsm.ReportEntry) { <-hold }
		q := &Quoter{Client: k}
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := q.Quote(ctx, numbered(i))
				if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "configfs-tsm: ") || !strings.Contains(err.Error(), "call has not come back") || !strings.Contains(err.Error(), "QGS") {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if made := k.made.Load(); made != 1 {
			t.Errorf("%d reports are under way, want one", made)
		}
		close(hold)
		if _, err := q.Quote(t.Context(), numbered(101)); err != nil || len(k.reports.Entries) != 0 {
			t.Errorf("afterwards: %v, %d entries are left", err, len(k.reports.Entries))
		}
	})
}

// On a machine without configfs-tsm, Linux's own file system says what is missing.
func TestLinux(t *testing.T) {
	provider, err := new(Quoter).Detect(t.Context())
	switch {
	case err == nil && !slices.Contains([]string{TDXGuest, SEVGuest}, provider):
		t.Errorf("got %q", provider)
	case err != nil && !strings.HasPrefix(err.Error(), "configfs-tsm: "):
		t.Error(err)
	case errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "stat /sys/kernel/config/tsm/report: no such file or directory: want Linux 6.7"):
		t.Error(err)
	}
}

func FuzzEvidence(f *testing.F) {
	data := numbered(3)
	f.Add(true, tdx(f, newPlatform(f, "tdx"))(data), []byte(nil))
	f.Add(true, tdx(f, newPlatform(f, "sgx"))(data), []byte(nil))
	f.Add(false, sev(data), table("certificate"))
	f.Add(false, sev(data), table("certificate")[:40])
	f.Fuzz(func(t *testing.T, intel bool, out, aux []byte) {
		a := answer{SEVGuest, out, aux}
		if intel {
			a.provider = TDXGuest
		}
		e, err := evidenceOf(a, data)
		if err != nil {
			return
		}
		if !bytes.Contains(out, data[:]) || !intel && [64]byte(out[0x50:]) != data {
			t.Errorf("other report data is taken for %x", data)
		}
		if e.Collateral == nil {
			return
		}
		if _, err := kds.ParseCollateral(e.Collateral); intel || err != nil {
			t.Errorf("got collateral that can't be read: %v", err)
		}
	})
}
