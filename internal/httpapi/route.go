package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// plane is one of the three listeners.
type plane string

const (
	planeData   plane = "data"
	planeAdmin  plane = "admin"
	planeProbes plane = "probes"
)

// planeOf says on which listener a path of the contract is served.
func planeOf(path string) plane {
	switch {
	case strings.HasPrefix(path, "/admin/"):
		return planeAdmin
	case strings.HasPrefix(path, "/v1/"):
		return planeData
	default:
		return planeProbes
	}
}

// router is what the generated code registers its routes at. It keeps those of one plane, puts the gate before each,
// and makes `:verb` suffixes fit gin.
//
// gin reads a colon as the start of a parameter. One in a fixed segment (/v1/predict:batch) can be escaped, which the
// generated code does; one that follows a parameter (/models/:version\:promote) cannot. Such a route is registered with
// the verb as a segment of its own (/models/:version/\:promote), and split makes the same of the requests before gin
// sees them.
type router struct {
	gin.IRouter
	server *Server
	plane  plane
	verbs  []verb
}

// verb is a path that ends in a parameter and a verb: before "/" param after.
type verb struct{ before, after string }

func (r *router) GET(path string, h ...gin.HandlerFunc) gin.IRoutes {
	return r.add(http.MethodGet, path, h)
}
func (r *router) POST(path string, h ...gin.HandlerFunc) gin.IRoutes {
	return r.add(http.MethodPost, path, h)
}
func (r *router) PUT(path string, h ...gin.HandlerFunc) gin.IRoutes {
	return r.add(http.MethodPut, path, h)
}
func (r *router) DELETE(path string, h ...gin.HandlerFunc) gin.IRoutes {
	return r.add(http.MethodDelete, path, h)
}

// add registers one route of the generated code.
func (r *router) add(method, path string, h []gin.HandlerFunc) gin.IRoutes {
	template := contractPath(path)
	if planeOf(template) != r.plane {
		return r.IRouter
	}
	op := r.server.contract.operation(method, template)
	parent, segment := path[:strings.LastIndexByte(path, '/')+1], path[strings.LastIndexByte(path, '/')+1:]
	if param, suffix, ok := strings.Cut(segment, `\:`); ok && strings.HasPrefix(param, ":") {
		path = parent + param + `/\:` + suffix
		if v := (verb{before: parent, after: ":" + suffix}); !slices.Contains(r.verbs, v) {
			r.verbs = append(r.verbs, v)
		}
	}
	return r.IRouter.Handle(method, path, append([]gin.HandlerFunc{r.server.gate(op), r.server.check(op)}, h...)...)
}

// contractPath turns a path of the generated code back into the contract's: /models/:version\:promote is
// /models/{version}:promote.
func contractPath(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if name, ok := strings.CutPrefix(s, ":"); ok {
			name, suffix, cut := strings.Cut(name, `\:`)
			if cut {
				suffix = ":" + suffix
			}
			segments[i] = "{" + name + "}" + suffix
		}
	}
	return strings.ReplaceAll(strings.Join(segments, "/"), `\:`, ":")
}

// split cuts the verb of a request path into a segment of its own and asks next for HEAD what it would ask for GET;
// net/http leaves the body of the answer out. A path that has the cut form already belongs to no route.
func (r *router) split(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		path := req.URL.EscapedPath()
		cut := r.cut(path)
		if cut == path && req.Method != http.MethodHead {
			next.ServeHTTP(w, req)
			return
		}
		changed := new(*req)
		if req.Method == http.MethodHead {
			changed.Method = http.MethodGet
		}
		if cut != path {
			changed.URL = new(*req.URL)
			changed.URL.RawPath = cut
			if plain, err := url.PathUnescape(cut); err == nil {
				changed.URL.Path = plain
			}
		}
		next.ServeHTTP(w, changed)
	})
}

func (r *router) cut(path string) string {
	for _, v := range r.verbs {
		rest, ok := strings.CutPrefix(path, v.before)
		if !ok {
			continue
		}
		if param, ok := strings.CutSuffix(rest, v.after); ok {
			if strings.HasSuffix(param, "/") {
				return "/" + strings.TrimPrefix(v.after, ":") // the cut form, which nobody may ask for
			}
			if param == "" {
				return path
			}
			return v.before + param + "/" + v.after
		}
	}
	return path
}

// noMethod answers 405, or OPTIONS with what the path allows.
func (s *Server) noMethod(c *gin.Context) {
	allowed := strings.Split(c.Writer.Header().Get("Allow"), ", ")
	if slices.Contains(allowed, http.MethodGet) {
		allowed = append(allowed, http.MethodHead)
	}
	allowed = append(allowed, http.MethodOptions)
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	c.Writer.Header().Set("Allow", list)
	if c.Request.Method == http.MethodOptions {
		c.Status(http.StatusNoContent)
		c.Writer.WriteHeaderNow()
		return
	}
	s.refuse(c, fail(methodNotAllowed, "allowed: "+list))
}
