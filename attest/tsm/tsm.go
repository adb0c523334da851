// Package tsm gets evidence of a TDX or SEV-SNP guest from Linux, through configfs-tsm
// (Documentation/ABI/testing/configfs-tsm-report; Linux 6.7 and later).
//
// It asks, and checks that the evidence carries the report data that was asked for. Whether evidence is genuine is the
// question of packages dcap and snp.
package tsm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/configfs/linuxtsm"
	"github.com/google/go-configfs-tsm/report"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/internal/patient"
)

// The providers, as the kernel's drivers name themselves.
const (
	TDXGuest = "tdx_guest"
	SEVGuest = "sev_guest"
)

// A report is asked for anew a few times if the kernel says that it would be another time, or if
// somebody else wrote to its entry ("generation").
const (
	tries = 3
	pause = 100 * time.Millisecond // before the second; twice as long before the third
)

// Quoter gets evidence through configfs-tsm. It is safe for concurrent use; the kernel makes one report at a time, and so
// it asks for one at a time, each in an entry of its own, which is removed whatever comes. The privilege level (VMPL) is
// the kernel's default.
type Quoter struct {
	Client   configfsi.Client // the file system; nil means Linux's, at /sys/kernel/config/tsm
	Provider string           // the one that is wanted, TDXGuest or SEVGuest; empty means whichever of them is there

	line patient.Line
	left string // an entry that could not be removed; of the call whose turn it is
}

// answer is what the kernel says.
type answer struct {
	provider string
	out, aux []byte
}

// Detect tells whether evidence can be had here, without asking for any. It returns the provider.
func (q *Quoter) Detect(ctx context.Context) (string, error) {
	a, err := q.ask(ctx, nil)
	if err != nil {
		return "", err
	}
	return a.provider, nil
}

// Quote returns the evidence of the guest with data as its report data: a quote of TDX, or a report of SEV-SNP with the
// certificates that the host brought along.
func (q *Quoter) Quote(ctx context.Context, data [64]byte) (*tee.Evidence, error) {
	a, err := q.ask(ctx, &data)
	if err != nil {
		return nil, err
	}
	evidence, err := evidenceOf(a, data)
	if err != nil {
		return nil, fmt.Errorf("configfs-tsm: %s: %w", a.provider, err)
	}
	return evidence, nil
}

// ask asks for evidence with data as its report data, or for the provider alone if data is nil.
func (q *Quoter) ask(ctx context.Context, data *[64]byte) (answer, error) {
	a, err := patient.Do(ctx, &q.line, func() (answer, error) {
		for try := 1; ; try++ {
			a, err := q.once(data)
			if err == nil || try == tries || !passing(err) {
				return a, err
			}
			select {
			case <-ctx.Done():
				return a, err
			case <-time.After(time.Duration(try) * pause):
			}
		}
	})
	if errors.Is(err, patient.ErrNotBack) {
		err = fmt.Errorf("%w; see the kernel's log, and for TDX the host's quote generation service (QGS)", err)
	}
	if err != nil {
		return answer{}, fmt.Errorf("configfs-tsm: %w", err)
	}
	return a, nil
}

// once asks in an entry of its own, and removes it.
func (q *Quoter) once(data *[64]byte) (a answer, err error) {
	inner := q.Client
	if inner == nil {
		if inner, err = linuxtsm.MakeClient(); err != nil {
			return a, explain(err, err)
		}
	}
	c := &client{Client: inner, entry: q.left}
	if err := c.remove(); err != nil { // so that what can't be removed does not add up in the kernel
		return a, fmt.Errorf("the entry of an earlier report can't be removed: %w", err)
	}
	defer func() {
		_ = c.remove() // what was got is good all the same; the next call finds the entry and tells
		q.left = c.entry
	}()
	if a, err = q.exchange(c, data); err != nil {
		return a, explain(err, c.failed)
	}
	return a, nil
}

// exchange writes data, and reads what the kernel makes of it.
func (q *Quoter) exchange(c *client, data *[64]byte) (a answer, err error) {
	r, err := report.CreateOpenReport(c)
	if err != nil {
		return a, err
	}
	written := data
	if written == nil {
		written = new([64]byte) // nothing is made of it, but it is seen whether the entry can be written
	}
	if err := r.WriteOption("inblob", written[:]); err != nil {
		return a, err
	}
	if a.provider, err = q.provider(r); err != nil || data == nil {
		return a, err
	}
	// The first that is read makes the report; the other is of the same one, or the generation is another.
	if a.provider == SEVGuest {
		if a.aux, err = r.ReadOption("auxblob"); err != nil {
			return a, err
		}
	}
	a.out, err = r.ReadOption("outblob")
	return a, err
}

// provider is who makes the reports here, if he is who is wanted.
func (q *Quoter) provider(r *report.OpenReport) (string, error) {
	name, err := r.ReadOption("provider")
	if err != nil {
		return "", err
	}
	got := strings.TrimSpace(string(name))
	switch {
	case q.Provider != "" && got != q.Provider:
		return "", fmt.Errorf("the provider here is %.40q, want %q", got, q.Provider)
	case got != TDXGuest && got != SEVGuest:
		return "", fmt.Errorf("the provider here is %.40q, want %q or %q", got, TDXGuest, SEVGuest)
	}
	return got, nil
}

// evidenceOf checks that it is evidence, whole, which carries the report data that was asked for.
func evidenceOf(a answer, data [64]byte) (*tee.Evidence, error) {
	e := &tee.Evidence{Quote: a.out}
	var got [64]byte
	switch a.provider {
	case TDXGuest:
		quote, err := dcap.ParseQuote(a.out)
		if err != nil {
			return nil, fmt.Errorf("got %d bytes that are no whole quote: %w", len(a.out), err)
		}
		if quote.TD == nil {
			return nil, errors.New("got a quote of SGX, want one of TDX")
		}
		e.Platform, got = tee.DCAP, quote.TD.ReportData
	default:
		if len(a.out) != kds.ReportSize {
			return nil, fmt.Errorf("got %d bytes that are no whole report, want %d", len(a.out), kds.ReportSize)
		}
		e.Platform, got = tee.SNP, [64]byte(a.out[reportData:])
		e.Collateral = certificates(a)
	}
	if got != data {
		return nil, fmt.Errorf("the evidence carries other report data than was asked for: got %x, want %x; does anything else write to the entries of configfs-tsm?", got, data)
	}
	return e, nil
}

// reportData is where a report of SEV-SNP has it (AMD publication 56860, table ATTESTATION_REPORT).
const reportData = 0x50

// certificates are those of the table that came along. It comes from the host as it is, signed by nobody, and is
// there to save a question to AMD's service: one that can't be read is as good as none.
func certificates(a answer) []byte {
	platform, _ := kds.ParsePlatform(a.out) // of a product that is not known yet, the VCEK is taken
	c, err := kds.FromTableFor(a.aux, platform.SignedBy)
	if err != nil || len(c.Leaf) == 0 {
		return nil
	}
	return c.Marshal()
}
