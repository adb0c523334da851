package blackbox

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// frame opcodes of RFC 6455 section 5.2, with FIN.
const (
	binaryFrame = 0x82
	closeFrame  = 0x88
)

// maxFrame is the largest frame of the browser prover, in bytes.
const maxFrame = 16 << 10

// writeFrame writes one frame; clients mask theirs (RFC 6455 section 5.3).
func writeFrame(w io.Writer, first byte, payload []byte, masked bool) error {
	buf := make([]byte, 0, len(payload)+8)
	mark := byte(0)
	if masked {
		mark = 0x80
	}
	if len(payload) < 126 {
		buf = append(buf, first, mark|byte(len(payload)))
	} else {
		buf = binary.BigEndian.AppendUint16(append(buf, first, mark|126), uint16(len(payload)))
	}
	if !masked {
		_, err := w.Write(append(buf, payload...))
		return err
	}
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	buf = append(buf, mask[:]...)
	for i, b := range payload {
		buf = append(buf, b^mask[i%4])
	}
	_, err := w.Write(buf)
	return err
}

// readFrame reads one frame into buf.
func readFrame(r *bufio.Reader, buf []byte, masked bool) (first byte, payload []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	size := int(head[1] & 0x7f)
	if size == 126 {
		if _, err := io.ReadFull(r, head[2:4]); err != nil {
			return 0, nil, err
		}
		size = int(binary.BigEndian.Uint16(head[2:4]))
	}
	if size > maxFrame || (head[1]&0x80 != 0) != masked {
		return 0, nil, fmt.Errorf("got a frame of %d bytes, masked %v", size, !masked)
	}
	var mask [4]byte
	if masked {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = buf[:size]
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0], payload, nil
}

// sendFrames sends all of r in binary frames, and then closes as RFC 6455 section 5.5.1 has it.
func sendFrames(w io.Writer, r io.Reader, masked bool) error {
	buf := make([]byte, maxFrame)
	for size := 1; ; size = size*3%maxFrame + 1 { // frames of many sizes
		n, err := io.ReadFull(r, buf[:size])
		if n > 0 {
			if err := writeFrame(w, binaryFrame, buf[:n], masked); err != nil {
				return err
			}
		}
		if err != nil {
			return writeFrame(w, closeFrame, []byte{0x03, 0xe8}, masked)
		}
	}
}

// receiveFrames writes the payloads to w, until the other end closes.
func receiveFrames(w io.Writer, r *bufio.Reader, masked bool) error {
	buf := make([]byte, maxFrame)
	for {
		first, payload, err := readFrame(r, buf, masked)
		switch {
		case err != nil:
			return err
		case first == closeFrame:
			return nil
		}
		w.Write(payload)
	}
}
