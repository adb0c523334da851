package nsm

import (
	"bytes"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/fxamacker/cbor/v2"
	"github.com/hf/nsm"

	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
)

// device stands in for /dev/nsm: it reads the CBOR of a request where the kernel would, and answers as the module does.
type device struct {
	module *nitrotest.Module
	now    time.Time
	// template is a document with mark as its user data.
	template, mark []byte

	open, asked, most, underWay atomic.Int32 // sessions; requests, and how many at a time

	// Faults. Without them a request is answered well.
	opening error
	errno   syscall.Errno
	answer  func(request []byte) []byte       // the module's
	change  func(userData []byte) []byte      // of the document's user data
	spoil   func(document []byte) []byte      // of the document
	wait    func()                            // in the driver
	length  func(answer []byte, room int) int // of the answer, as the driver tells
}

// devices are found by their descriptors, since a system call knows no more of them.
var (
	devices    sync.Map
	descriptor atomic.Uintptr
)

func (d *device) options() *nsm.Options {
	return &nsm.Options{
		Open: func() (nsm.FileDescriptor, error) {
			if d.opening != nil {
				return nil, &fs.PathError{Op: "open", Path: "/dev/nsm", Err: d.opening}
			}
			s := &session{d, descriptor.Add(1)}
			devices.Store(s.fd, d)
			d.open.Add(1)
			return s, nil
		},
		Syscall: systemCall,
	}
}

type session struct {
	device *device
	fd     uintptr
}

func (s *session) Fd() uintptr { return s.fd }

func (s *session) Close() error {
	if _, there := devices.LoadAndDelete(s.fd); !there {
		return os.ErrClosed
	}
	s.device.open.Add(-1)
	return nil
}

// message is the argument of the ioctl (linux/nsm.h, struct nsm_raw).
type message struct{ request, response syscall.Iovec }

// systemCall is called with the address of a message on its caller's stack, as a number, which the runtime
// does not follow when it moves the stack. So it makes a pointer of it before anything can make the stack grow.
//
//go:nosplit
func systemCall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err syscall.Errno) {
	m := *(**message)(unsafe.Pointer(&a3))
	return 0, 0, ioctl(trap, a1, a2, m)
}

func ioctl(trap, fd, command uintptr, m *message) syscall.Errno {
	found, there := devices.Load(fd)
	switch {
	case trap != syscall.SYS_IOCTL:
		return syscall.ENOSYS
	case !there:
		return syscall.EBADF
	case command != 3<<30|unsafe.Sizeof(*m)<<16|0x0a<<8: // _IOWR(0x0A, 0x0, struct nsm_raw)
		return syscall.EINVAL
	case m.request.Len > 0x1000:
		return syscall.EMSGSIZE
	}
	d := found.(*device)
	answer, errno := d.request(unsafe.Slice(m.request.Base, m.request.Len))
	if errno != 0 {
		return errno
	}
	told := copy(unsafe.Slice(m.response.Base, m.response.Len), answer) // what does not fit is cut off
	if d.length != nil {
		told = d.length(answer, int(m.response.Len))
	}
	m.response.SetLen(told)
	return 0
}

// request is what the driver does.
func (d *device) request(request []byte) ([]byte, syscall.Errno) {
	d.asked.Add(1)
	now := d.underWay.Add(1)
	defer d.underWay.Add(-1)
	for most := d.most.Load(); now > most && !d.most.CompareAndSwap(most, now); most = d.most.Load() {
	}
	if d.wait != nil {
		d.wait()
	}
	if d.errno != 0 {
		return nil, d.errno
	}
	if d.answer != nil {
		return d.answer(request), 0
	}
	return d.obey(request), 0
}

// obey is what the module answers: in Rust's form of enumerations, a name alone or a map with one name.
func (d *device) obey(request []byte) []byte {
	var name string
	if cbor.Unmarshal(request, &name) == nil && name == "DescribeNSM" {
		return encode(map[string]any{"DescribeNSM": map[string]any{
			"version_major": 1, "version_minor": 0, "version_patch": 0, "module_id": nitrotest.DevModuleID,
			"max_pcrs": 32, "locked_pcrs": []int{0, 1, 2}, "digest": "SHA384",
		}})
	}
	var ask struct {
		Attestation *struct {
			UserData  []byte `cbor:"user_data"`
			Nonce     []byte `cbor:"nonce"`
			PublicKey []byte `cbor:"public_key"`
		}
	}
	if err := cbor.Unmarshal(request, &ask); err != nil || ask.Attestation == nil {
		return encode(map[string]string{"Error": "InvalidArgument"})
	}
	userData := ask.Attestation.UserData
	if d.change != nil {
		userData = d.change(userData)
	}
	document := d.document(userData)
	if d.spoil != nil {
		document = d.spoil(document)
	}
	return encode(map[string]any{"Attestation": map[string]any{"document": document}})
}

// document is signed for each hundredth who asks, and for who changes the user data. To sign them all takes most of a test's time, so the others
// get one with their user data in the place of another's, whose signature is of no interest to who makes evidence.
func (d *device) document(userData []byte) []byte {
	if len(userData) != 64 || d.asked.Load()%100 == 1 {
		return d.module.Document(userData, nil, nil, d.now)
	}
	return bytes.Replace(d.template, d.mark, userData, 1)
}

func encode(v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// module is one for all tests: none changes it, and its keys take time to make.
var module = sync.OnceValues(func() (*nitrotest.Module, error) {
	return nitrotest.New(nitrotest.Config{Now: func() time.Time { return now }})
})

func newDevice(t testing.TB) *device {
	t.Helper()
	m, err := module()
	if err != nil {
		t.Fatal(err)
	}
	mark := bytes.Repeat([]byte("m"), 64)
	return &device{module: m, now: now, mark: mark, template: m.Document(mark, nil, nil, now)}
}
