package dcap

import "errors"

// der is a run of DER values (X.690), read from the front without copying.
type der []byte

// The tags that Intel's certificate extension uses.
const (
	tagBoolean     = 0x01
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagOID         = 0x06
	tagEnumerated  = 0x0a
	tagSequence    = 0x30
)

var errDER = errors.New("malformed DER")

// next takes the value of the given tag off the front. Only the shortest form of
// a length is accepted, as DER has it (X.690 §10.1); 64 KiB is far more than an extension needs.
func (d *der) next(tag byte) (der, error) {
	b := *d
	if len(b) < 2 || b[0] != tag {
		return nil, errDER
	}
	length, header := int(b[1]), 2
	switch {
	case b[1] < 0x80:
	case b[1] == 0x81 && len(b) > 2 && b[2] >= 0x80:
		length, header = int(b[2]), 3
	case b[1] == 0x82 && len(b) > 3 && b[2] != 0:
		length, header = int(b[2])<<8|int(b[3]), 4
	default:
		return nil, errDER
	}
	if length > len(b)-header {
		return nil, errDER
	}
	*d = b[header+length:]
	return b[header : header+length], nil
}

// only returns the content of the one value of the given tag that d consists of.
func (d der) only(tag byte) (der, error) {
	content, err := d.next(tag)
	if err != nil || len(d) != 0 {
		return nil, errDER
	}
	return content, nil
}

// uint reads d as the one value of the given tag, INTEGER or ENUMERATED, between 0 and max.
func (d der) uint(tag byte, max int) (int, error) {
	b, err := d.only(tag)
	switch {
	case err != nil:
		return 0, err
	case len(b) == 0 || len(b) > 4:
		return 0, errDER
	case len(b) > 1 && b[0] == 0 && b[1] < 0x80: // not the shortest form
		return 0, errDER
	case b[0] >= 0x80:
		return 0, errors.New("is negative")
	}
	n := 0
	for _, octet := range b {
		n = n<<8 | int(octet)
	}
	if n > max {
		return 0, errors.New("is out of range")
	}
	return n, nil
}

// octets reads d as the one OCTET STRING that fills field.
func (d der) octets(field []byte) error {
	b, err := d.only(tagOctetString)
	if err != nil || len(b) != len(field) {
		return errDER
	}
	copy(field, b)
	return nil
}

// bool reads d as the one BOOLEAN, whose true is all ones in DER.
func (d der) bool() (bool, error) {
	b, err := d.only(tagBoolean)
	if err != nil || len(b) != 1 || b[0] != 0 && b[0] != 0xff {
		return false, errDER
	}
	return b[0] != 0, nil
}
