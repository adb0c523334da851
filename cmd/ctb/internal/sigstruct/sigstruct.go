// Package sigstruct reads the signature of an SGX enclave, as the signer of Gramine
// and of other SDKs writes it beside the enclave, and so tells before anything runs what
// the hardware will measure.
//
// It owns the structure and its signature. Whether an enclave that runs is this one, its evidence says.
package sigstruct

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// Size of a SIGSTRUCT, in bytes (Intel SDM volume 3D, section 37.14, "Enclave signature structure").
const Size = 1808

// Where its fields are.
const (
	atHeader     = 0
	atDate       = 20
	atHeader2    = 24
	atModulus    = 128 // 384 bytes, as every number here the least significant first
	atExponent   = 512
	atSignature  = 516 // 384 bytes
	atMiscSelect = 900 // the second part that is signed begins here
	atAttributes = 928
	atMask       = 944
	atHash       = 960
	atISVProdID  = 1024
	atISVSVN     = 1026
	atUnsigned   = 1028

	keySize = 384
)

var (
	header  = []byte{6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}
	header2 = []byte{1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0}
)

// Signature is what the signer of an enclave vouches for.
type Signature struct {
	MRENCLAVE, MRSIGNER [32]byte
	ISVProdID, ISVSVN   uint16
	Date                uint32 // of the signing, as the digits yyyymmdd in hexadecimal
	// Debug tells what the signature says of the attribute DEBUG: nothing, that it must be set, or that it must not be.
	Debug Demand
}

// Demand is what a signature demands of an attribute.
type Demand int

// The demands.
const (
	Any    Demand = iota // whoever loads the enclave chooses
	Set                  // it must be set
	NotSet               // it must not be set
)

// Parse reads a SIGSTRUCT of exactly [Size] bytes and verifies its RSA-3072 signature by the key that is in it.
func Parse(data []byte) (*Signature, error) {
	if len(data) != Size {
		return nil, fmt.Errorf("SIGSTRUCT: got %d bytes, want %d", len(data), Size)
	}
	if !bytes.Equal(data[atHeader:atHeader+16], header) || !bytes.Equal(data[atHeader2:atHeader2+16], header2) {
		return nil, errors.New("SIGSTRUCT: the two headers are not those of an enclave's signature")
	}
	if err := verify(data); err != nil {
		return nil, fmt.Errorf("SIGSTRUCT: %w", err)
	}
	const debug = 1 << 1 // of the byte ATTRIBUTES[0]
	s := &Signature{
		MRENCLAVE: [32]byte(data[atHash : atHash+32]),
		MRSIGNER:  sha256.Sum256(data[atModulus : atModulus+keySize]),
		ISVProdID: binary.LittleEndian.Uint16(data[atISVProdID:]),
		ISVSVN:    binary.LittleEndian.Uint16(data[atISVSVN:]),
		Date:      binary.LittleEndian.Uint32(data[atDate:]),
	}
	switch {
	case data[atMask]&debug == 0:
		s.Debug = Any
	case data[atAttributes]&debug != 0:
		s.Debug = Set
	default:
		s.Debug = NotSet
	}
	return s, nil
}

// verify checks the signature: PKCS #1 v1.5 with SHA-256, exponent 3, over all but the key, the signature and what helps to compute it.
func verify(data []byte) error {
	if e := binary.LittleEndian.Uint32(data[atExponent:]); e != 3 {
		return fmt.Errorf("got a key with the exponent %d, want 3", e)
	}
	key := &rsa.PublicKey{N: number(data[atModulus : atModulus+keySize]), E: 3}
	if key.N.BitLen() != 8*keySize {
		return fmt.Errorf("got a key of %d bits, want %d", key.N.BitLen(), 8*keySize)
	}
	sum := sha256.Sum256(slices.Concat(data[:atModulus], data[atMiscSelect:atUnsigned]))
	signature := make([]byte, keySize)
	number(data[atSignature : atSignature+keySize]).FillBytes(signature)
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature); err != nil {
		return fmt.Errorf("it is not signed by the key in it: %w", err)
	}
	return nil
}

// number reads a little-endian number.
func number(b []byte) *big.Int {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}
