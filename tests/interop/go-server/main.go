// An echo server on gorilla/websocket with its default CheckOrigin, which compares Origin
// with Host. Also serves the browser's page and takes the browser's report.
//
// Prints JSON lines on stdout: the port first, then what each handshake looked like, how
// each connection closed and what the page reported.
package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/gorilla/websocket"
)

var upgrader = websocket.Upgrader{
	Subprotocols:      []string{"chat"},
	EnableCompression: true,
}

var stdout sync.Mutex

func say(fields map[string]interface{}) {
	stdout.Lock()
	defer stdout.Unlock()
	json.NewEncoder(os.Stdout).Encode(fields)
}

func echo(w http.ResponseWriter, r *http.Request) {
	say(map[string]interface{}{
		"event":      "handshake",
		"host":       r.Host,
		"origin":     r.Header.Get("Origin"),
		"extensions": r.Header.Get("Sec-WebSocket-Extensions"),
		"protocols":  r.Header.Get("Sec-WebSocket-Protocol"),
	})
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		say(map[string]interface{}{"event": "refused", "error": err.Error()})
		return
	}
	defer conn.Close()
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			code := 1006
			if closed, ok := err.(*websocket.CloseError); ok {
				code = closed.Code
			}
			say(map[string]interface{}{"event": "closed", "code": code})
			return
		}
		if err := conn.WriteMessage(kind, message); err != nil {
			say(map[string]interface{}{"event": "closed", "code": 1006})
			return
		}
	}
}

func report(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	say(map[string]interface{}{"event": "report", "body": json.RawMessage(body)})
}

func main() {
	http.HandleFunc("/ws", echo)
	http.HandleFunc("/report", report)
	if len(os.Args) > 1 {
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, os.Args[1])
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	say(map[string]interface{}{"event": "listening", "port": listener.Addr().(*net.TCPAddr).Port})
	panic(http.Serve(listener, nil))
}
