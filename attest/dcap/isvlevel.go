package dcap

import (
	"errors"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// isvLevel is what a quoting enclave or a TDX module reaches that has at least this security version number.
type isvLevel struct {
	isvSVN uint16
	verdict
}

// isvLevels are sorted from the newest to the oldest.
type isvLevels []isvLevel

var isvSVNNames = names{required: []string{"isvsvn"}}

func (l *isvLevels) read(d *document) error {
	err := d.array(func(int) error {
		*l = append(*l, isvLevel{})
		return (*l)[len(*l)-1].read(d)
	})
	if err == nil && len(*l) == 0 {
		err = errors.New("it is empty")
	}
	return err
}

func (l *isvLevel) read(d *document) error {
	return d.object(levelNames, func(name string) error {
		if name != "tcb" {
			return l.verdict.read(d, name)
		}
		return d.object(isvSVNNames, func(string) error {
			n, err := d.uint(0xffff)
			l.isvSVN = uint16(n)
			return err
		})
	})
}

// reached returns the first level that the number reaches, nil if it reaches none.
func (l isvLevels) reached(isvSVN uint16) *isvLevel {
	for i := range l {
		if isvSVN >= l[i].isvSVN {
			return &l[i]
		}
	}
	return nil
}

// lowest returns the number that the last level wants.
func (l isvLevels) lowest() uint16 { return l[len(l)-1].isvSVN }

// judge returns what is said of the part that has the number and reached the level.
func (l isvLevels) judge(name, component string, isvSVN uint16, reached *isvLevel) part {
	p := part{name: name, reached: reached.verdict, newest: l[0].verdict}
	if want := l[0].isvSVN; isvSVN < want {
		p.short = []tee.Shortfall{{Part: name, Component: component, Have: isvSVN, Want: want}}
	}
	return p
}
