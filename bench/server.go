// The loopback server of `./dev bench pull`: two origins that answer from a table of routes and send files with sendfile, so that it costs
// little of the machine that it is measured on. On request it is far away (each connection and each answer waits), narrow (bytes a second and
// connection), and unreliable (a reset with this probability in each MiB). Run by bench/pull.py: `go run server.go -routes FILE …`; prints its
// two addresses as one line of JSON, and counts of bytes and requests at GET /-/counts.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

type route struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	File    string            `json:"file"`
}

var (
	routesFile = flag.String("routes", "", "table of routes (JSON)")
	far        = flag.Duration("far", 0, "round trip: paid once for a connection, once for an answer")
	rate       = flag.Int64("rate", 0, "bytes a second and connection, 0: no limit")
	resets     = flag.Float64("resets", 0, "chance of a reset in each MiB of a file")
	requests   atomic.Int64
	fileBytes  atomic.Int64
	otherBytes atomic.Int64
)

// A connection is far away: it is accepted only after a round trip.
type farListener struct{ net.Listener }

func (l farListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && *far > 0 {
		return &farConn{Conn: c, ready: time.Now().Add(*far)}, nil
	}
	return c, err
}

type farConn struct {
	net.Conn
	ready time.Time
}

func (c *farConn) Read(b []byte) (int, error) {
	if wait := time.Until(c.ready); wait > 0 {
		time.Sleep(wait)
	}
	return c.Conn.Read(b)
}

type counting struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (w counting) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.sent.Add(int64(n))
	return n, err
}

// Narrow or unreliable: piece by piece, each paid for.
type slow struct {
	http.ResponseWriter
	begun time.Time
	sent  int64
}

func (w *slow) Write(b []byte) (int, error) {
	total := 0
	for len(b) > 0 {
		piece := b[:min(len(b), 1<<18)]
		if *resets > 0 && rand.Float64() < *resets*float64(len(piece))/(1<<20) {
			reset(w.ResponseWriter)
			return total, fmt.Errorf("reset on purpose")
		}
		n, err := w.ResponseWriter.Write(piece)
		total += n
		w.sent += int64(n)
		fileBytes.Add(int64(n))
		if err != nil {
			return total, err
		}
		if *rate > 0 {
			time.Sleep(time.Duration(float64(w.sent)/float64(*rate)*1e9) - time.Since(w.begun))
		}
		b = b[n:]
	}
	return total, nil
}

func reset(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if c, _, err := h.Hijack(); err == nil {
			if f, ok := c.(*farConn); ok {
				c = f.Conn
			}
			if t, ok := c.(*net.TCPConn); ok {
				t.SetLinger(0)
			}
			c.Close()
		}
	}
}

func serve(routes map[string]route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/-/counts" {
			fmt.Fprintf(w, `{"requests": %d, "file_bytes": %d, "other_bytes": %d}`, requests.Load(), fileBytes.Load(), otherBytes.Load())
			return
		}
		requests.Add(1)
		if *far > 0 {
			time.Sleep(*far)
		}
		found, ok := routes[r.URL.Path]
		if !ok {
			http.Error(w, `{"error": "Entry not found"}`, http.StatusNotFound)
			return
		}
		for name, value := range found.Headers {
			w.Header().Set(name, value)
		}
		if found.File == "" {
			if found.Headers["Content-Length"] == "" {
				w.Header().Set("Content-Length", fmt.Sprint(len(found.Body)))
			}
			w.WriteHeader(found.Status)
			if r.Method != http.MethodHead {
				counting{w, &otherBytes}.Write([]byte(found.Body))
			}
			return
		}
		file, err := os.Open(found.File)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer file.Close()
		info, _ := file.Stat()
		if *rate > 0 || *resets > 0 {
			http.ServeContent(&slow{ResponseWriter: w, begun: time.Now()}, r, "", time.Time{}, file)
			return
		}
		if info.Size() < 1<<20 { // one call less than sendfile makes
			data := make([]byte, info.Size())
			file.ReadAt(data, 0)
			http.ServeContent(counting{w, &fileBytes}, r, "", time.Time{}, bytes.NewReader(data))
			return
		}
		http.ServeContent(w, r, "", time.Time{}, file) // not wrapped, so that it stays sendfile
		if r.Method != http.MethodHead {
			sent, _ := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
			fileBytes.Add(sent)
		}
	})
}

func main() {
	flag.Parse()
	// "localhost" for the second: another host name than the first's, as redirects of the real ones lead to another host.
	hub, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	cdn, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	hubURL := fmt.Sprintf("http://127.0.0.1:%d", hub.Addr().(*net.TCPAddr).Port)
	cdnURL := fmt.Sprintf("http://localhost:%d", cdn.Addr().(*net.TCPAddr).Port)
	text, err := os.ReadFile(*routesFile)
	if err != nil {
		panic(err)
	}
	filled := strings.NewReplacer("{{hub}}", hubURL, "{{cdn}}", cdnURL).Replace(string(text))
	routes := map[string]route{}
	if err := json.Unmarshal([]byte(filled), &routes); err != nil {
		panic(err)
	}
	fmt.Printf("{\"hub\": %q, \"cdn\": %q}\n", hubURL, cdnURL)
	handler := serve(routes)
	go http.Serve(farListener{hub}, handler)
	panic(http.Serve(farListener{cdn}, handler))
}
