package dcap

import (
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// tcbInfo is Intel's judgement of a family of platforms: TCB info of version 3
// (Intel PCS API v4, "TCB Info V3"), for SGX.
type tcbInfo struct {
	window     tee.Window // issueDate to nextUpdate
	fmspc      [6]byte
	pceID      [2]byte
	evaluation uint32
	levels     []tcbLevel // from the newest to the oldest
}

// tcbLevel is what a platform reaches that has at least these numbers.
type tcbLevel struct {
	svn    [16]uint8
	pceSVN uint16
	verdict
}

var (
	tcbInfoNames = names{required: []string{
		"id", "version", "issueDate", "nextUpdate", "fmspc", "pceId", "tcbType", "tcbEvaluationDataNumber", "tcbLevels",
	}}
	tcbNames       = names{required: []string{"sgxtcbcomponents", "pcesvn"}}
	componentNames = names{required: []string{"svn"}}
)

// parseTCBInfo reads the signed object. Its signature is the caller's question.
func parseTCBInfo(text string) (*tcbInfo, error) {
	t := new(tcbInfo)
	if err := readDocument(text, tcbInfoNames, t.read); err != nil {
		return nil, fmt.Errorf("TCB info: %w", err)
	}
	if len(t.levels) == 0 {
		return nil, errors.New("TCB info: tcbLevels: it is empty")
	}
	return t, nil
}

func (t *tcbInfo) read(d *document, name string) (err error) {
	switch name {
	case "id":
		return d.is("SGX")
	case "version":
		return d.number(3)
	case "issueDate":
		t.window.NotBefore, err = d.time()
	case "nextUpdate":
		t.window.NotAfter, err = d.time()
	case "fmspc":
		return d.hex(t.fmspc[:])
	case "pceId":
		return d.hex(t.pceID[:])
	case "tcbType":
		// How levels are compared. Intel defines 0 alone: each component by itself.
		return d.number(0)
	case "tcbEvaluationDataNumber":
		n, err := d.uint(1<<32 - 1)
		t.evaluation = uint32(n)
		return err
	case "tcbLevels":
		return d.array(func(int) error {
			t.levels = append(t.levels, tcbLevel{})
			return t.levels[len(t.levels)-1].read(d)
		})
	}
	return err
}

func (l *tcbLevel) read(d *document) error {
	return d.object(levelNames, func(name string) error {
		if name != "tcb" {
			return l.verdict.read(d, name)
		}
		return d.object(tcbNames, func(name string) error {
			if name == "pcesvn" {
				n, err := d.uint(0xffff)
				l.pceSVN = uint16(n)
				return err
			}
			return l.readComponents(d)
		})
	})
}

func (l *tcbLevel) readComponents(d *document) error {
	count := 0
	err := d.array(func(i int) error {
		if count++; count > len(l.svn) {
			return fmt.Errorf("got more than %d components", len(l.svn))
		}
		return d.object(componentNames, func(string) error {
			n, err := d.uint(0xff)
			l.svn[i] = uint8(n)
			return err
		})
	})
	if err == nil && count != len(l.svn) {
		err = fmt.Errorf("got %d components, want %d", count, len(l.svn))
	}
	return err
}

// match checks that the document is about the platform. Both are compared as
// bytes: Intel writes their hex digits in either case.
func (t *tcbInfo) match(p *PCK) error {
	switch {
	case t.fmspc != p.FMSPC:
		return fmt.Errorf("TCB info: fmspc: got %x, want %x, which the PCK certificate has", t.fmspc, p.FMSPC)
	case t.pceID != p.PCEID:
		return fmt.Errorf("TCB info: pceId: got %x, want %x, which the PCK certificate has", t.pceID, p.PCEID)
	}
	return nil
}

// level returns the first level that the platform reaches, and what it lacks of the newest.
func (t *tcbInfo) level(p *PCK) (*tcbLevel, []tee.Shortfall, error) {
	for i := range t.levels {
		if t.levels[i].reached(p) {
			return &t.levels[i], t.levels[0].shortfalls(p), nil
		}
	}
	lowest := &t.levels[len(t.levels)-1]
	return nil, nil, fmt.Errorf("TCB info: the platform reaches none of the %d levels; of the lowest it misses: %s",
		len(t.levels), describe(lowest.shortfalls(p)))
}

// reached tells whether the platform has at least every number of the level.
func (l *tcbLevel) reached(p *PCK) bool {
	for i, want := range l.svn {
		if p.SVN[i] < want {
			return false
		}
	}
	return p.PCESVN >= l.pceSVN
}

// shortfalls lists the components in which the platform is below the level.
func (l *tcbLevel) shortfalls(p *PCK) (short []tee.Shortfall) {
	for i, want := range l.svn {
		if have := p.SVN[i]; have < want {
			short = append(short, tee.Shortfall{Component: fmt.Sprintf("sgxtcbcomponents[%d]", i), Have: uint16(have), Want: uint16(want)})
		}
	}
	if p.PCESVN < l.pceSVN {
		short = append(short, tee.Shortfall{Component: "pcesvn", Have: p.PCESVN, Want: l.pceSVN})
	}
	return short
}
