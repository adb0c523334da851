package nitrotest

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Faults of the members of a document, which the module signs as they are.
const (
	DocumentList       Fault = "document-list"       // the document is an array
	DocumentTrailing   Fault = "document-trailing"   // a byte follows it
	DocumentIndefinite Fault = "document-indefinite" // a map of indefinite length
	DocumentTagged     Fault = "document-tagged"     // it has a tag
	MemberUnknown      Fault = "member-unknown"      // a member that AWS does not name
	MemberOtherCase    Fault = "member-other-case"   // "PCRS" beside "pcrs", which some readers take for it
	MemberNumbered     Fault = "member-numbered"     // a member whose name is a number
	MemberTwice        Fault = "member-twice"        // two members "pcrs", of which readers may take either

	ModuleIDAbsent    Fault = "module-id-absent"
	ModuleIDEmpty     Fault = "module-id-empty"
	ModuleIDBytes     Fault = "module-id-bytes" // a byte string
	ModuleIDNotUTF8   Fault = "module-id-not-utf8"
	DigestAbsent      Fault = "digest-absent"
	DigestSHA256      Fault = "digest-sha256"
	DigestSHA512      Fault = "digest-sha512"
	DigestLowerCase   Fault = "digest-lower-case"
	TimestampAbsent   Fault = "timestamp-absent"
	TimestampNull     Fault = "timestamp-null"
	TimestampZero     Fault = "timestamp-zero"
	TimestampNegative Fault = "timestamp-negative"
	TimestampFloat    Fault = "timestamp-float"
	TimestampTagged   Fault = "timestamp-tagged"  // a big number
	TimestampSeconds  Fault = "timestamp-seconds" // not in milliseconds
	TimestampHuge     Fault = "timestamp-huge"    // more than any date has
	TimestampEarly    Fault = "timestamp-early"   // before the certificate's life
	TimestampLate     Fault = "timestamp-late"    // after it

	PCRsAbsent    Fault = "pcrs-absent"
	PCRsNull      Fault = "pcrs-null"
	PCRsEmpty     Fault = "pcrs-empty"
	PCRsList      Fault = "pcrs-list"       // an array
	PCRs33        Fault = "pcrs-33"         // one more than there are registers
	PCRIndex32    Fault = "pcr-index-32"    // of a register that there is not
	PCRIndexBelow Fault = "pcr-index-below" // -1
	PCRIndexText  Fault = "pcr-index-text"  // "0"
	PCRTwice      Fault = "pcr-twice"       // two values of one register
	PCRShort      Fault = "pcr-short"       // 32 bytes, as of SHA-256
	PCRLong       Fault = "pcr-long"        // 64 bytes, as of SHA-512
	PCREmpty      Fault = "pcr-empty"
	PCRNull       Fault = "pcr-null"
	PCRText       Fault = "pcr-text"
	PCRList       Fault = "pcr-list" // an array of numbers

	PublicKeyEmpty Fault = "public-key-empty" // which must be null, or left out
	PublicKeyLarge Fault = "public-key-large" // 1025 bytes
	UserDataLarge  Fault = "user-data-large"  // 513 bytes
	UserDataText   Fault = "user-data-text"
	NonceLarge     Fault = "nonce-large" // 513 bytes
)

func memberFaults() []spoil {
	payload := func(change func([]byte) []byte) func(*Module, *plan) {
		return func(_ *Module, p *plan) { p.payload = change }
	}
	set := func(key string, value any) func(*Module, *plan) {
		return func(_ *Module, p *plan) { p.set(key, value) }
	}
	drop := func(key string) func(*Module, *plan) { return func(_ *Module, p *plan) { p.drop(key) } }
	add := func(key, value any) func(*Module, *plan) { return func(_ *Module, p *plan) { p.add(key, value) } }
	stamp := func(when func(*plan) time.Time) func(*Module, *plan) {
		return func(_ *Module, p *plan) { p.set("timestamp", when(p).UnixMilli()) }
	}
	other := []member{{0, bytes.Repeat([]byte{1}, 48)}}
	return slices.Concat([]spoil{
		{DocumentList, payload(func([]byte) []byte { return []byte{0x80} })},
		{DocumentTrailing, payload(func(b []byte) []byte { return append(b, 0) })},
		{DocumentIndefinite, payload(func(b []byte) []byte { return slices.Concat([]byte{0xbf}, b[1:], []byte{0xff}) })},
		{DocumentTagged, payload(func(b []byte) []byte { return append([]byte{0xd9, 0xd9, 0xf7}, b...) })},
		{MemberUnknown, add("region", "nowhere-1")},
		{MemberOtherCase, add("PCRS", other)},
		{MemberNumbered, add(1, "module_id")},
		{MemberTwice, add("pcrs", other)},

		{ModuleIDAbsent, drop("module_id")},
		{ModuleIDEmpty, set("module_id", "")},
		{ModuleIDBytes, set("module_id", []byte(DevModuleID))},
		{ModuleIDNotUTF8, set("module_id", cbor.RawMessage{0x61, 0xff})},
		{DigestAbsent, drop("digest")},
		{DigestSHA256, set("digest", "SHA256")},
		{DigestSHA512, set("digest", "SHA512")},
		{DigestLowerCase, set("digest", "sha384")},
		{TimestampAbsent, drop("timestamp")},
		{TimestampNull, set("timestamp", nil)},
		{TimestampZero, set("timestamp", 0)},
		{TimestampNegative, func(_ *Module, p *plan) { p.set("timestamp", -p.at.UnixMilli()) }},
		{TimestampFloat, func(_ *Module, p *plan) { p.set("timestamp", float64(p.at.UnixMilli())) }},
		{TimestampTagged, func(_ *Module, p *plan) {
			p.set("timestamp", cbor.Tag{Number: 2, Content: []byte{byte(p.at.UnixMilli() >> 40), 0, 0, 0, 0, 0}})
		}},
		{TimestampSeconds, func(_ *Module, p *plan) { p.set("timestamp", p.at.Unix()) }},
		{TimestampHuge, set("timestamp", ^uint64(0))},
		{TimestampEarly, stamp(func(p *plan) time.Time { return leafLife(p.at).from.Add(-time.Millisecond) })},
		{TimestampLate, stamp(func(p *plan) time.Time { return leafLife(p.at).to.Add(time.Second) })},
	}, registerFaults(), []spoil{
		{PublicKeyEmpty, set("public_key", []byte{})},
		{PublicKeyLarge, set("public_key", make([]byte, 1025))},
		{UserDataLarge, set("user_data", make([]byte, 513))},
		{UserDataText, set("user_data", strings.Repeat("a", 64))},
		{NonceLarge, set("nonce", make([]byte, 513))},
	})
}

func registerFaults() []spoil {
	set := func(value any) func(*Module, *plan) { return func(_ *Module, p *plan) { p.set("pcrs", value) } }
	add := func(key, value any) func(*Module, *plan) {
		return func(m *Module, p *plan) { p.set("pcrs", append(m.registers(), member{key, value})) }
	}
	first := func(value any) func(*Module, *plan) { // the first register's value
		return func(m *Module, p *plan) {
			all := m.registers()
			all[0].value = value
			p.set("pcrs", all)
		}
	}
	return []spoil{
		{PCRsAbsent, func(_ *Module, p *plan) { p.drop("pcrs") }},
		{PCRsNull, set(nil)},
		{PCRsEmpty, set([]member{})},
		{PCRsList, set([][]byte{make([]byte, 48)})},
		{PCRs33, func(_ *Module, p *plan) {
			var all []member
			for i := range 33 {
				all = append(all, member{i, make([]byte, 48)})
			}
			p.set("pcrs", all)
		}},
		{PCRIndex32, add(32, make([]byte, 48))},
		{PCRIndexBelow, add(-1, make([]byte, 48))},
		{PCRIndexText, add("0", make([]byte, 48))},
		{PCRTwice, add(0, bytes.Repeat([]byte{1}, 48))},
		{PCRShort, first(make([]byte, 32))},
		{PCRLong, first(make([]byte, 64))},
		{PCREmpty, first([]byte{})},
		{PCRNull, first(nil)},
		{PCRText, first(strings.Repeat("a", 48))},
		{PCRList, first(make([]int, 48))},
	}
}
