package nitrotest

import (
	"crypto/ecdsa"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// plan is a document before it is made. A [Fault] changes it.
type plan struct {
	at    time.Time
	certs map[string]*certPlan
	own   bool // the certificates are not those of a sound chain

	bundle  func([][]byte) [][]byte // rearranges the CA bundle; nil leaves it
	members []member                // of the document, in the order of AWS's; certificate and cabundle are filled in late
	late    func(*plan)             // changes the members when all are there; nil changes none
	payload func([]byte) []byte     // changes the document before it is signed; nil leaves it

	protected   []byte              // the COSE header that is signed
	unprotected []byte              // the one that is not
	by          *ecdsa.PrivateKey   // signs
	context     string              // what is signed along (RFC 9052 section 4.4)
	bare        bool                // the payload is signed as it is
	signed      func(s *sign1)      // changes the parts after signing; nil leaves them
	whole       func([]byte) []byte // changes the encoding; nil leaves it
	tags        int                 // how often the tag of COSE_Sign1 stands before it
}

// member is one of a CBOR map.
type member struct {
	key   any
	value any
}

// sign1 is COSE_Sign1, its parts without the heads of their byte strings.
type sign1 struct{ protected, unprotected, payload, signature []byte }

// headerES384 is {1: -35}, the algorithm of AWS's documents (RFC 9053 section 2.1).
var headerES384 = []byte{0xa1, 0x01, 0x38, 0x22}

// plan is that of a sound document.
func (m *Module) plan(userData, nonce, publicKey []byte, at time.Time) *plan {
	p := &plan{
		at: at, certs: m.certPlans(at),
		protected: headerES384, unprotected: []byte{0xa0}, by: m.keys.keys[rankLeaf], context: "Signature1",
		members: []member{
			{"module_id", m.config.ModuleID},
			{"digest", "SHA384"},
			{"timestamp", uint64(at.UnixMilli())},
			{"pcrs", m.registers()},
			{"certificate", nil},
			{"cabundle", nil},
			{"public_key", publicKey}, // nil becomes null, as in AWS's
			{"user_data", userData},
			{"nonce", nonce},
		},
	}
	if m.config.Tagged {
		p.tags = 1
	}
	return p
}

// registers are the PCRs in their order.
func (m *Module) registers() []member {
	var all []member
	for _, i := range slices.Sorted(maps.Keys(m.config.PCRs)) {
		pcr := m.config.PCRs[i]
		all = append(all, member{i, pcr[:]})
	}
	return all
}

// document makes a document.
func (m *Module) document(userData, nonce, publicKey []byte, at time.Time) ([]byte, error) {
	if err := checkInstant(at); err != nil {
		return nil, err
	}
	p := m.plan(userData, nonce, publicKey, at)
	m.spoil(p)
	c, err := m.chain(p)
	if err != nil {
		return nil, err
	}
	leaf := len(c.der) - 1
	bundle := slices.Clone(c.der[:leaf])
	if p.bundle != nil {
		bundle = p.bundle(bundle)
	}
	p.set("certificate", c.der[leaf])
	p.set("cabundle", bundle)
	if p.late != nil {
		p.late(p)
	}
	return m.seal(p)
}

// chain returns the certificates, made anew only where those at hand do not serve.
func (m *Module) chain(p *plan) (*chain, error) {
	if p.own {
		return m.issueAll(p.certs, p.at)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last != nil && m.last.life == leafLife(p.at) {
		return m.last, nil
	}
	c, err := m.issueAll(p.certs, p.at)
	if err == nil {
		m.last = c
	}
	return c, err
}

// seal signs the document and puts COSE_Sign1 around it (RFC 9052 section 4.2).
func (m *Module) seal(p *plan) ([]byte, error) {
	payload, err := encodeMap(p.members)
	if err != nil {
		return nil, err
	}
	if p.payload != nil {
		payload = p.payload(payload)
	}
	toSign, err := cbor.Marshal([]any{p.context, bytesOrEmpty(p.protected), []byte{}, payload})
	if err != nil {
		return nil, err
	}
	if p.bare {
		toSign = payload
	}
	s := &sign1{protected: p.protected, unprotected: p.unprotected, payload: payload}
	if s.signature, err = sign(p.by, toSign); err != nil {
		return nil, err
	}
	if p.signed != nil {
		p.signed(s)
	}
	out := slices.Concat(slices.Repeat([]byte{0xd2}, p.tags), []byte{0x84},
		bytesOf(s.protected), s.unprotected, bytesOf(s.payload), bytesOf(s.signature))
	if p.whole != nil {
		out = p.whole(out)
	}
	return out, nil
}

// set changes the value of a member, and add puts one more at the end.
func (p *plan) set(key string, value any) {
	for i := range p.members {
		if p.members[i].key == key {
			p.members[i].value = value
		}
	}
}

func (p *plan) add(key, value any) { p.members = append(p.members, member{key, value}) }

func (p *plan) get(key string) any {
	for _, m := range p.members {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

func (p *plan) drop(key string) {
	p.members = slices.DeleteFunc(p.members, func(m member) bool { return m.key == key })
}

// encodeMap writes a map with its members as they are: in their order, also one twice.
func encodeMap(members []member) ([]byte, error) {
	out := head(5, len(members))
	for _, m := range members {
		key, err := cbor.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		var value []byte
		switch v := m.value.(type) {
		case []member:
			value, err = encodeMap(v)
		case cbor.RawMessage:
			value = v
		default:
			value, err = cbor.Marshal(v)
		}
		if err != nil {
			return nil, err
		}
		out = append(append(out, key...), value...)
	}
	return out, nil
}

// bytesOrEmpty is b, which would be null if it were nil.
func bytesOrEmpty(b []byte) []byte { return append([]byte{}, b...) }

// bytesOf is b as a byte string of CBOR.
func bytesOf(b []byte) []byte { return append(head(2, len(b)), b...) }

// head is the start of a data item of CBOR: its major type and a count, in the shortest form (RFC 8949 section 3).
func head(major byte, n int) []byte {
	switch {
	case n < 24:
		return []byte{major<<5 | byte(n)}
	case n < 1<<8:
		return []byte{major<<5 | 24, byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{major<<5 | 25}, uint16(n))
	}
	return binary.BigEndian.AppendUint32([]byte{major<<5 | 26}, uint32(n))
}
