package httpapi

import (
	"bytes"
	"embed"
	"io/fs"
	"mime"
	"path"

	"github.com/gin-gonic/gin"

	"seqrec/api"
)

//go:embed web
var webFiles embed.FS

// registerWeb puts the page at /, the contract at /docs and their files beside them. They need no key: all they show is
// public, and what they ask for is asked with the key that the person gives.
func (s *Server) registerWeb(engine *gin.Engine) {
	show := func(file string) gin.HandlerFunc {
		return func(c *gin.Context) {
			callOf(c.Request.Context()).operation = "page"
			s.serveFile(c, file)
		}
	}
	engine.GET("/", show("index.html"))
	engine.GET("/docs", show("docs.html"))
	engine.GET("/assets/:file", func(c *gin.Context) { show(path.Join("assets", c.Param("file")))(c) })
	engine.GET("/favicon.ico", show("assets/icon.svg"))
	engine.GET("/openapi.yaml", s.serveContract("application/yaml", api.Contract()))
	engine.GET("/openapi.json", s.serveContract(mediaJSON, s.contract.json))
}

// serveFile answers with one embedded file. The page may load nothing from elsewhere.
func (s *Server) serveFile(c *gin.Context, file string) {
	text, err := fs.ReadFile(webFiles, "web/"+file)
	if err != nil {
		s.refuse(c, &failure{kind: notFound})
		return
	}
	h := c.Writer.Header()
	h.Set("Content-Type", mime.TypeByExtension(path.Ext(file)))
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = c.Writer.Write(text)
}

func (s *Server) serveContract(media string, text []byte) gin.HandlerFunc {
	return func(c *gin.Context) {
		callOf(c.Request.Context()).operation = "contract"
		h := c.Writer.Header()
		h.Set("Content-Type", media)
		h.Set("Cache-Control", "no-cache")
		_, _ = bytes.NewReader(text).WriteTo(c.Writer)
	}
}
