package dcap

import (
	"errors"
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// tcbLevel is what a platform reaches that has at least these numbers.
type tcbLevel struct {
	sgx    [16]uint8 // sgxtcbcomponents, in version 2 sgxtcbcomp01svn to sgxtcbcomp16svn
	tdx    [16]uint8 // tdxtcbcomponents
	pceSVN uint16
	seen   fields // which of its forms came: see the constants
	verdict
}

// Beside the components of version 2, which are the fields 0 to 15 of tcbLevel.seen.
const (
	seenSGX     = 1 << 16 // sgxtcbcomponents
	seenTDX     = 1 << 17 // tdxtcbcomponents
	allVersion2 = 1<<16 - 1
)

// componentNames are what Intel calls the components, of the newest level.
type componentNames struct{ sgx, tdx [16]componentName }

type componentName struct{ category, kind string }

// String returns such as "BIOS, Early Microcode Update", or "" of a component without a name.
func (n componentName) String() string {
	if n.category != "" && n.kind != "" {
		return n.category + ", " + n.kind
	}
	return n.category + n.kind
}

var (
	tcbNames         = names{required: []string{"pcesvn"}, optional: append([]string{"sgxtcbcomponents", "tdxtcbcomponents"}, version2Names[:]...)}
	componentMembers = names{required: []string{"svn"}, optional: []string{"category", "type"}}
	version2Names    = namesOfVersion2()
)

func namesOfVersion2() (all [16]string) {
	for i := range all {
		all[i] = fmt.Sprintf("sgxtcbcomp%02dsvn", i+1)
	}
	return all
}

// readLevels reads tcbLevels, and keeps the names of the first.
func (t *tcbInfo) readLevels(d *document) error {
	var others componentNames
	return d.array(func(i int) error {
		t.levels = append(t.levels, tcbLevel{})
		l := &t.levels[i]
		return d.object(levelNames, func(name string) error {
			if name != "tcb" {
				return l.verdict.read(d, name)
			}
			if i == 0 {
				return l.readTCB(d, &t.names)
			}
			return l.readTCB(d, &others)
		})
	})
}

// readTCB reads the numbers of a level and the names of its components.
func (l *tcbLevel) readTCB(d *document, names *componentNames) error {
	return d.object(tcbNames, func(name string) error {
		switch name {
		case "pcesvn":
			n, err := d.uint(0xffff)
			l.pceSVN = uint16(n)
			return err
		case "sgxtcbcomponents":
			l.seen |= seenSGX
			return readComponents(d, &l.sgx, &names.sgx)
		case "tdxtcbcomponents":
			l.seen |= seenTDX
			return readComponents(d, &l.tdx, &names.tdx)
		}
		for i := range version2Names {
			if name == version2Names[i] {
				l.seen |= 1 << i
				n, err := d.uint(0xff)
				l.sgx[i] = uint8(n)
				return err
			}
		}
		return nil
	})
}

func readComponents(d *document, svn *[16]uint8, names *[16]componentName) error {
	count := 0
	err := d.array(func(i int) error {
		if count++; count > len(svn) {
			return fmt.Errorf("got more than %d components", len(svn))
		}
		return d.object(componentMembers, func(name string) (err error) {
			switch name {
			case "svn":
				n, err := d.uint(0xff)
				svn[i] = uint8(n)
				return err
			case "category":
				names[i].category, err = d.str()
			case "type":
				names[i].kind, err = d.str()
			}
			return err
		})
	})
	if err == nil && count != len(svn) {
		err = fmt.Errorf("got %d components, want %d", count, len(svn))
	}
	return err
}

// check checks that the numbers came in the form of the document's version.
func (l *tcbLevel) check(version uint64, tdx bool) error {
	old := l.seen & allVersion2
	switch {
	case old != 0 && l.seen&seenSGX != 0:
		return errors.New("components both as in version 2 and as in version 3")
	case version == 2 && old != allVersion2:
		for i := range version2Names {
			if old&(1<<i) == 0 {
				return fmt.Errorf("%q is missing", version2Names[i])
			}
		}
	case version == 3 && l.seen&seenSGX == 0:
		return fmt.Errorf("%q is missing", "sgxtcbcomponents")
	case tdx && l.seen&seenTDX == 0:
		return fmt.Errorf("%q is missing", "tdxtcbcomponents")
	}
	return nil
}

// svns are the numbers that a platform has: its PCK certificate's and, for TDX, the quote's.
type svns struct {
	pck *PCK
	td  *TDReport // nil for SGX
}

// firstTDX returns the first of tdxtcbcomponents that judges the trust domain: with a major version of the module (TEE_TCB_SVN[1])
// above 0 the module's own identity stands for the components 0 and 1 (TDX DCAP Quote Verification Library, step 4.1.2.4.17.3).
func (s svns) firstTDX() int {
	switch {
	case s.td == nil:
		return 16
	case s.td.TEETCBSVN[1] > 0:
		return 2
	}
	return 0
}

// judgePlatform returns the first level that the platform reaches, and what it lacks of the newest.
func (t *tcbInfo) judgePlatform(s svns) (part, error) {
	for i := range t.levels {
		if t.levels[i].reached(s) {
			return part{
				name: tee.PartPlatform, reached: t.levels[i].verdict, newest: t.levels[0].verdict,
				short: t.levels[0].shortfalls(s, &t.names),
			}, nil
		}
	}
	lowest := &t.levels[len(t.levels)-1]
	return part{}, fmt.Errorf("TCB info: the platform reaches none of the %d levels; of the lowest it misses: %s",
		len(t.levels), describe(lowest.shortfalls(s, &t.names)))
}

// reached tells whether the platform has at least every number of the level.
func (l *tcbLevel) reached(s svns) bool {
	for i, want := range l.sgx {
		if s.pck.SVN[i] < want {
			return false
		}
	}
	for i := s.firstTDX(); i < len(l.tdx); i++ {
		if s.td.TEETCBSVN[i] < l.tdx[i] {
			return false
		}
	}
	return s.pck.PCESVN >= l.pceSVN
}

// shortfalls lists the components in which the platform is below the level.
func (l *tcbLevel) shortfalls(s svns, names *componentNames) (short []tee.Shortfall) {
	add := func(component, name string, have, want uint16) {
		if have < want {
			short = append(short, tee.Shortfall{Part: tee.PartPlatform, Component: component, Name: name, Have: have, Want: want})
		}
	}
	for i, want := range l.sgx {
		if have := s.pck.SVN[i]; have < want {
			add(fmt.Sprintf("sgxtcbcomponents[%d]", i), names.sgx[i].String(), uint16(have), uint16(want))
		}
	}
	for i := s.firstTDX(); i < len(l.tdx); i++ {
		if have, want := s.td.TEETCBSVN[i], l.tdx[i]; have < want {
			add(fmt.Sprintf("tdxtcbcomponents[%d]", i), names.tdx[i].String(), uint16(have), uint16(want))
		}
	}
	add("pcesvn", "", s.pck.PCESVN, l.pceSVN)
	return short
}

// describe lists shortfalls in words.
func describe(shortfalls []tee.Shortfall) string {
	words := make([]string, len(shortfalls))
	for i, s := range shortfalls {
		words[i] = fmt.Sprintf("%s is %d, want %d", s.Title(), s.Have, s.Want)
	}
	return strings.Join(words, "; ")
}
