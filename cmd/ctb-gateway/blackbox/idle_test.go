package blackbox

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// idle is how many connections TestIdleConnections opens; go test -run Idle -idle 10000 is the whole of it.
var idle = flag.Int("idle", 1000, "upgraded connections that `go test` holds open at once")

// holder is the variable that makes this test binary an upstream which upgrades
// every connection and holds it: the files of three processes are needed for 10,000 connections.
const holder = "CTB_BLACKBOX_HOLDER"

// TestIdleConnections opens many upgraded connections on which nothing moves, and says what each
// costs. When they are gone, as many more must find free again what the first took.
func TestIdleConnections(t *testing.T) {
	if testing.Short() || raced != nil {
		t.Skip("opens a thousand connections and looks at memory: run it without -short and -race")
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	n := *idle
	if most := (int(files.Max) - 200) / 2; n > most { // the gateway has two files for each
		t.Logf("the limit of %d open files allows %d connections, not %d", files.Max, most, n)
		n = most
	}
	w := standWith(t, func(w *world) { w.vars["upstream"] = hold(t) }, "strict", fmt.Sprintf("sessions: off\nlimits: {connections: %d}\nadmin: {listen: 127.0.0.1:0}\n", 2*n)+tokens)

	before := w.status("VmRSS")
	var peak [3]int
	for round := range peak {
		clients := w.holdOpen(n)
		peak[round] = w.status("VmRSS")
		t.Logf("%d idle upgraded connections: resident %d KiB before, %d KiB with them: %.1f KiB each", n, before, peak[round], float64(peak[round]-before)/float64(n))
		var closing sync.WaitGroup
		for _, c := range clients {
			closing.Go(func() { reset(c) })
		}
		closing.Wait()
		w.settles("go_goroutines", 100)
	}
	// Garbage that waits to be collected makes some difference; what is never given back would make it threefold.
	if peak[2] > peak[0]*3/2 {
		t.Errorf("the third time they cost %d KiB, the first time %d: what closed connections took does not come back", peak[2], peak[0])
	}
}

// holdOpen opens n upgraded connections, a few at a time.
func (w *world) holdOpen(n int) []net.Conn {
	w.t.Helper()
	request := []byte("GET /hold HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n" + w.bearer("idle") + "\r\n")
	clients := make([]net.Conn, n)
	var opening sync.WaitGroup
	for part := range 16 {
		opening.Go(func() {
			for i := part; i < n; i += 16 {
				c, err := net.Dial("tcp", w.gateway.address("main"))
				if err != nil {
					w.t.Error(err)
					return
				}
				clients[i] = c
				c.SetDeadline(time.Now().Add(patience))
				c.Write(request)
				head := make([]byte, 0, 512)
				for !strings.HasSuffix(string(head), "\r\n\r\nheld") {
					m, err := c.Read(head[len(head):cap(head)])
					if head = head[:len(head)+m]; err != nil || len(head) == cap(head) {
						w.t.Errorf("connection %d: got %q, %v, want a 101", i, head, err)
						return
					}
				}
			}
		})
	}
	opening.Wait()
	if w.t.Failed() {
		w.t.FailNow()
	}
	return clients
}

// status is a line of the gateway's /proc/PID/status, in KiB.
func (w *world) status(name string) int {
	w.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.gateway.cmd.Process.Pid))
	if err != nil {
		w.t.Skip("needs Linux: ", err)
	}
	m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB`).FindSubmatch(data)
	if m == nil {
		w.t.Fatalf("%s is not in\n%s", name, data)
	}
	kib, _ := strconv.Atoi(string(m[1]))
	return kib
}

// settles waits until a gauge of /metrics is at most so much.
func (w *world) settles(gauge string, most float64) {
	w.t.Helper()
	line := regexp.MustCompile(`(?m)^` + gauge + ` (\S+)$`)
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		a := ask(w.t, w.gateway.address("admin"), "GET /metrics HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n")
		m := line.FindStringSubmatch(a.body)
		if m == nil {
			w.t.Fatalf("%s is not in\n%s", gauge, a.body)
		}
		if value, err := strconv.ParseFloat(m[1], 64); err == nil && value <= most {
			return
		}
		if time.Since(start) > patience {
			w.t.Fatalf("%s, want at most %v at last", m[0], most)
		}
	}
}

// hold starts this binary as an upstream, and returns its address.
func hold(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holder+"=1")
	stdin, err := cmd.StdinPipe() // it ends when we do
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// holdAll is that upstream, until standard input ends.
func holdAll() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(listener.Addr())
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				head := make([]byte, 4096)
				for n := 0; !strings.HasSuffix(string(head[:n]), "\r\n\r\n"); {
					m, err := c.Read(head[n:])
					if n += m; err != nil {
						return
					}
				}
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nheld")
				c.Read(head[:1])
			}()
		}
	}()
	io.Copy(io.Discard, os.Stdin)
	return 0
}
