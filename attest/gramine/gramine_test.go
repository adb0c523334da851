package gramine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

var _ tee.Quoter = (*Quoter)(nil)

func newPlatform(t testing.TB, c simulated.Config) *simulated.Platform {
	t.Helper()
	p, err := simulated.New(c)
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

// Each of a thousand who ask at once, by Quoters of their own, gets the quote that carries his report data, and some are
// verified to the root.
func TestAThousandAtOnce(t *testing.T) {
	p := newPlatform(t, simulated.Config{})
	d := newDevice(t, p, nil)
	verifier := &dcap.Verifier{Root: p.Root(), Collateral: p.Collateral()}
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			q := &Quoter{Dir: d.dir}
			if i%2 == 0 {
				q.Dir += "/." // the same folder by another name
			}
			e, err := q.Quote(t.Context(), numbered(i))
			if err != nil {
				t.Error(err)
				return
			}
			if e.Platform != tee.DCAP || e.Collateral != nil || !e.NotAfter.IsZero() {
				t.Errorf("got %q with %d bytes of collateral until %v", e.Platform, len(e.Collateral), e.NotAfter)
			}
			if parsed, err := dcap.ParseQuote(e.Quote); err != nil || parsed.Enclave.ReportData != numbered(i) {
				t.Errorf("%d: got a quote with other report data, %v", i, err)
			}
			if i%100 != 0 {
				return
			}
			if report, err := verifier.Verify(t.Context(), e, time.Now()); err != nil || report.Data != numbered(i) || report.TEE != tee.SGX {
				t.Errorf("%d: got %+v, %v", i, report, err)
			}
		})
	}
	all.Wait()
	if quotes, writes := d.quotes.Load(), d.writes.Load(); quotes != 1000 || writes != 1000 {
		t.Errorf("report data was written %d times for %d quotes", writes, quotes)
	}
}

// Without the line, who writes before another has read spoils his quote; and that is seen.
func TestInterleavedWritesWouldSpoilAQuote(t *testing.T) {
	q := &Quoter{Dir: newDevice(t, newPlatform(t, simulated.Config{}), nil).dir}
	for i := range 2 {
		if err := q.write(numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
	quote, err := q.read()
	if err != nil {
		t.Fatal(err)
	}
	if err := check(quote, numbered(0)); err == nil || !strings.Contains(err.Error(), "other report data") {
		t.Errorf("the first gets %v", err)
	}
	if err := check(quote, numbered(1)); err != nil {
		t.Errorf("the second gets %v", err)
	}
}

// A quote that is slow keeps nobody beyond his context, and no second one begins beside it; afterwards all is well.
func TestSlow(t *testing.T) {
	opened, hold := make(chan struct{}, 1), make(chan struct{})
	d := newDevice(t, newPlatform(t, simulated.Config{}), func() {
		opened <- struct{}{}
		<-hold
	})
	release := sync.OnceFunc(func() { close(hold) })
	defer release() // whatever fails
	q := &Quoter{Dir: d.dir}

	ctx, cancel := context.WithCancel(t.Context())
	slow := make(chan error, 1)
	go func() {
		_, err := q.Quote(ctx, numbered(0))
		slow <- err
	}()
	<-opened
	cancel()
	if err := <-slow; !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "gramine: "+d.dir+": the call has not come back: ") || !strings.Contains(err.Error(), "AESM") {
		t.Errorf("got %v", err)
	}

	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := (&Quoter{Dir: d.dir}).Quote(ctx, numbered(i)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if _, err := (&Quoter{Dir: d.dir}).Detect(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if quotes := d.quotes.Load(); quotes != 1 {
		t.Errorf("%d quotes are under way, want one", quotes)
	}

	release()
	if _, err := q.Quote(t.Context(), numbered(1)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if kind, err := q.Detect(t.Context()); err != nil || kind != "dcap" {
		t.Errorf("afterwards: %q, %v", kind, err)
	}
}

// files makes a folder of plain files. A name that ends in a slash is a folder, where a file should be.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		var err error
		if path := filepath.Join(dir, name); strings.HasSuffix(name, "/") {
			err = os.Mkdir(path, 0o700)
		} else {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEachFailureIsClear(t *testing.T) {
	quoteOf := func(c simulated.Config, data [64]byte) string {
		e, err := newPlatform(t, c).Quote(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		return string(e.Quote)
	}
	mine := numbered(7)
	good := quoteOf(simulated.Config{}, mine)
	almost := mine
	almost[63]++
	set := `set sgx.remote_attestation = "dcap" in the manifest`
	for name, c := range map[string]struct {
		files map[string]string
		says  []string
	}{
		"good":             {map[string]string{"attestation_type": "dcap", "user_report_data": "", "quote": good}, nil},
		"a line's end":     {map[string]string{"attestation_type": "dcap\n", "user_report_data": "", "quote": good}, nil},
		"absent":           {nil, []string{"attestation_type: no such file", "does not run in an SGX enclave under Gramine"}},
		"no enclave":       {map[string]string{"keys/": ""}, []string{"attestation_type: no such file", "gramine-direct"}},
		"no attestation":   {map[string]string{"attestation_type": "none"}, []string{`/attestation_type: got "none"`, set}},
		"EPID":             {map[string]string{"attestation_type": "epid", "quote": good}, []string{`/attestation_type: got "epid"`, set}},
		"an unknown type":  {map[string]string{"attestation_type": "maa\x00\x1b"}, []string{`/attestation_type: got "maa\x00\x1b", want "dcap"`, set}},
		"no type":          {map[string]string{"attestation_type": ""}, []string{`/attestation_type: got "", want "dcap"`, set}},
		"a long type":      {map[string]string{"attestation_type": strings.Repeat("d", 1000)}, []string{"/attestation_type: got more than 64 bytes"}},
		"a folder as type": {map[string]string{"attestation_type/": ""}, []string{"attestation_type: is a directory"}},
		"no report data":   {map[string]string{"attestation_type": "dcap", "quote": good}, []string{"user_report_data: no such file"}},
		"report data that can't be written": {
			map[string]string{"attestation_type": "dcap", "user_report_data/": "", "quote": good}, []string{"user_report_data: is a directory"}},
		"no quote":          {map[string]string{"attestation_type": "dcap", "user_report_data": ""}, []string{"quote: no such file"}},
		"a folder as quote": {map[string]string{"attestation_type": "dcap", "user_report_data": "", "quote/": ""}, []string{"quote: is a directory"}},
		"an empty quote": {
			map[string]string{"attestation_type": "dcap", "user_report_data": "", "quote": ""}, []string{"/quote: it is empty", "AESM"}},
		"a short read": {
			map[string]string{"attestation_type": "dcap", "user_report_data": "", "quote": good[:len(good)-1]}, []string{"no whole quote"}},
		"a shorter read": {
			map[string]string{"attestation_type": "dcap", "user_report_data": "", "quote": good[:10]}, []string{"got 10 bytes that are no whole quote"}},
		"an oversize quote": {
			map[string]string{"attestation_type": "dcap", "user_report_data": "", "quote": good + strings.Repeat("\x00", maxQuote)},
			[]string{"/quote: got more than 16384 bytes"}},
		"other report data": {
			map[string]string{"attestation_type": "dcap", "user_report_data": "", "quote": quoteOf(simulated.Config{}, numbered(8))},
			[]string{"other report data", fmt.Sprintf("got %x, want %x", numbered(8), mine)}},
		"other report data in its last byte": {
			map[string]string{"attestation_type": "dcap", "user_report_data": "", "quote": quoteOf(simulated.Config{}, almost)}, []string{"other report data"}},
		"a quote of TDX": {
			map[string]string{"attestation_type": "dcap", "user_report_data": "", "quote": quoteOf(simulated.Config{TEE: "tdx"}, mine)},
			[]string{"got a quote of TDX, want one of SGX"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, c.files)
			_, err := (&Quoter{Dir: dir}).Quote(t.Context(), mine)
			if c.says == nil {
				if err != nil {
					t.Fatal(err)
				}
				if written, _ := os.ReadFile(filepath.Join(dir, "user_report_data")); string(written) != string(mine[:]) {
					t.Errorf("the report data that was written is %x", written)
				}
				return
			}
			for _, words := range append(c.says, "gramine: ") {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("got %v, want … %s", err, words)
				}
			}
			if now, err := os.ReadDir(dir); err != nil || len(now) != len(c.files) {
				t.Errorf("it made a file: %v, %v", now, err)
			}
		})
	}
}

// closed puts a file that can't be opened in the place of another. Of root, the kernel's own settings keep their word: one is for
// writing alone, the other for reading.
func closed(t *testing.T, path string) {
	t.Helper()
	var err error
	if os.Getuid() != 0 {
		err = os.Chmod(path, 0)
	} else if err = os.Remove(path); err == nil {
		setting, flag := "/proc/sys/net/ipv4/route/flush", os.O_RDONLY
		if filepath.Base(path) == fileData {
			setting, flag = "/proc/sys/kernel/ostype", os.O_WRONLY
		}
		if f, err := os.OpenFile(setting, flag, 0); !errors.Is(err, fs.ErrPermission) {
			f.Close()
			t.Skipf("nothing here is closed to root: %v", err)
		}
		err = os.Symlink(setting, path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Gramine says that permission is denied whatever went wrong between the enclave and its host. Of its other files it says so where that is meant.
func TestPermissionDenied(t *testing.T) {
	for name, says := range map[string]string{
		fileType: "permission denied", fileData: "permission denied",
		fileQuote: "permission denied: Gramine got no quote from its host; see whether the AESM service runs there, the enclave can reach its socket (/var/run/aesmd/aesm.socket)",
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, map[string]string{fileType: "dcap", fileData: "", fileQuote: ""})
			closed(t, filepath.Join(dir, name))
			_, err := (&Quoter{Dir: dir}).Quote(t.Context(), numbered(1))
			if !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(err.Error(), "gramine: open "+filepath.Join(dir, name)+": "+says) {
				t.Errorf("got %v, want that %s can't be opened: … %s", err, name, says)
			}
			if name != fileQuote && strings.Contains(err.Error(), "AESM") {
				t.Errorf("got %v, which is not of the quote", err)
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	data := numbered(3)
	for _, c := range []simulated.Config{{}, {QuoteVersion: 4}, {QuoteVersion: 5}, {TEE: "tdx"}} {
		e, err := newPlatform(f, c).Quote(f.Context(), data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(e.Quote)
		f.Add(e.Quote[:100])
	}
	f.Fuzz(func(t *testing.T, quote []byte) {
		if check(quote, data) != nil {
			return
		}
		// The header has 48 bytes, behind which version 5 tells type and size of the report by 6 more; an enclave's report has
		// the report data at 320 (Intel's "SGX ECDSA Quote Library API").
		report := quote[48:]
		if quote[0] == 5 {
			report = quote[48+6:]
		}
		if got := [64]byte(report[320:]); got != data {
			t.Errorf("report data %x is taken for %x", got, data)
		}
	})
}
