/* The steps of `hot_path.py` that every turn pays for, in C: same classes, same names, same list at the end.

   hot_path.py says what is meant and is what a host without a compiler gets; tests/recorder holds the two equal. Here is
   no idea of its own but one: where the clock is time.perf_counter itself, on Linux, it is read without a detour through
   Python objects, and gives the same seconds.

   What may not happen: an exception that reaches the serving thread from the end of a stage or turn, or a step on which
   another thread could see half of an entry. Nothing between two appends runs Python code, so no thread gets a turn there. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <time.h>

typedef struct {
    PyObject_HEAD
    PyObject *buffer;
    PyObject *defaults;
} Records;

typedef struct {
    PyObject_HEAD
    PyObject *buffer;
    PyObject *clock;
    PyObject *row; /* None once the turn has ended. */
    double began;
    double last;
} Turn;

typedef struct {
    PyObject_HEAD
    Turn *turn;
    PyObject *name;
    double began;
} Stage;

static PyTypeObject *turn_type, *stage_type; /* As registered: subclasses of those below. */
static PyTypeObject *turn_base, *stage_base;
static PyObject *perf_counter;
static PyObject *str_append, *str_clock, *str_missed, *str_put, *str_rows_max, *str_session, *str_turns;

/* -- What both share -------------------------------------------------------------------------------------------------- */

/* Seconds of this clock; -1 with an error set where it fails. */
static inline double
seconds_of(PyObject *clock)
{
#ifdef __linux__
    struct timespec now;
    if (clock == perf_counter && clock_gettime(CLOCK_MONOTONIC, &now) == 0) {
        /* As time.perf_counter does: whole nanoseconds first, so that both give the same float. */
        return (double)((long long)now.tv_sec * 1000000000LL + now.tv_nsec) / 1e9;
    }
#endif
    if (clock == NULL) {
        PyErr_SetString(PyExc_TypeError, "A turn is begun by a recorder.");
        return -1.0;
    }
    PyObject *told = PyObject_CallNoArgs(clock);
    if (told == NULL) {
        return -1.0;
    }
    double seconds = PyFloat_AsDouble(told);
    Py_DECREF(told);
    return seconds;
}

/* Two entries, both or none. */
static int
extend(PyObject *row, PyObject *first, PyObject *second)
{
    if (PyList_Append(row, first) < 0) {
        return -1;
    }
    if (PyList_Append(row, second) < 0) {
        PyList_SetSlice(row, PyList_GET_SIZE(row) - 1, PyList_GET_SIZE(row), NULL);
        return -1;
    }
    return 0;
}

/* Counts what could not be kept. An Exception that is set is over with that; whatever is more than one passes. */
static PyObject *
missed(Turn *turn, const char *what)
{
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return NULL;
        }
        PyErr_Clear();
    }
    if (turn == NULL || turn->buffer == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *word = PyUnicode_FromString(what);
    if (word == NULL) {
        return NULL;
    }
    PyObject *none = PyObject_CallMethodOneArg(turn->buffer, str_missed, word);
    Py_DECREF(word);
    return none;
}

/* -- A stage ---------------------------------------------------------------------------------------------------------- */

static PyObject *
stage_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Stage *stage = (Stage *)self;
    Turn *turn = stage->turn;
    if (turn == NULL || turn->row == NULL || !PyList_CheckExact(turn->row)) {
        return missed(turn, "after_end");
    }
    double now = seconds_of(turn->clock);
    if (now == -1.0 && PyErr_Occurred()) {
        return missed(turn, "after_end");
    }
    PyObject *row = turn->row; /* Looked at again: a clock that is written in Python lets other threads go on. */
    PyObject *lasted = PyFloat_FromDouble(now - stage->began);
    if (lasted == NULL || !PyList_CheckExact(row) || extend(row, stage->name, lasted) < 0) {
        Py_XDECREF(lasted);
        return missed(turn, "after_end");
    }
    Py_DECREF(lasted);
    Py_RETURN_NONE;
}

static int
stage_traverse(PyObject *self, visitproc visit, void *arg)
{
    Stage *stage = (Stage *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(stage->turn);
    Py_VISIT(stage->name);
    return 0;
}

static int
stage_clear(PyObject *self)
{
    Stage *stage = (Stage *)self;
    Py_CLEAR(stage->turn);
    Py_CLEAR(stage->name);
    return 0;
}

static void
stage_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    stage_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef stage_methods[] = {
    {"__exit__", (PyCFunction)(void (*)(void))stage_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot stage_slots[] = {
    {Py_tp_dealloc, stage_dealloc}, {Py_tp_traverse, stage_traverse}, {Py_tp_clear, stage_clear},
    {Py_tp_methods, stage_methods}, {0, NULL},
};

static PyType_Spec stage_spec = {
    "producers.recorder._hot_path.TimedStage", sizeof(Stage), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, stage_slots,
};

/* -- A turn ----------------------------------------------------------------------------------------------------------- */

static PyObject *
turn_stage(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Turn *turn = (Turn *)self;
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nargs + named != 1 ||
        (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "name") != 0)) {
        PyErr_SetString(PyExc_TypeError, "stage() takes one argument, 'name'");
        return NULL;
    }
    Stage *stage = (Stage *)stage_type->tp_alloc(stage_type, 0);
    if (stage == NULL) {
        return NULL;
    }
    stage->turn = (Turn *)Py_NewRef(self);
    stage->name = Py_NewRef(args[0]);
    stage->began = seconds_of(turn->clock);
    if (stage->began == -1.0 && PyErr_Occurred()) {
        Py_DECREF(stage);
        return NULL;
    }
    return (PyObject *)stage;
}

static PyObject *
turn_enter(PyObject *self, PyObject *Py_UNUSED(none))
{
    return Py_NewRef(self);
}

/* Whether the row is in the buffer now, or counted as dropped by it. */
static int
put(PyObject *buffer, PyObject *row)
{
    PyObject *turns = PyObject_GetAttr(buffer, str_turns);
    PyObject *most = turns == NULL ? NULL : PyObject_GetAttr(buffer, str_rows_max);
    PyObject *done = NULL;
    if (most != NULL) {
        Py_ssize_t waiting = PyObject_Size(turns), rows_max = PyLong_AsSsize_t(most);
        if (waiting >= 0 && !(rows_max == -1 && PyErr_Occurred())) {
            done = waiting < rows_max ? PyObject_CallMethodOneArg(turns, str_append, row)
                                      : PyObject_CallMethodOneArg(buffer, str_put, row);
        }
    }
    Py_XDECREF(done);
    Py_XDECREF(most);
    Py_XDECREF(turns);
    return done == NULL ? -1 : 0;
}

static PyObject *
turn_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Turn *turn = (Turn *)self;
    PyObject *row = turn->row; /* Ours from here on; who comes later finds None. */
    if (row == NULL || !PyList_CheckExact(row)) {
        return missed(turn, "after_end");
    }
    turn->row = Py_NewRef(Py_None);
    double now = seconds_of(turn->clock);
    PyObject *ended = now == -1.0 && PyErr_Occurred() ? NULL : PyFloat_FromDouble(now);
    int failed = ended == NULL || extend(row, ended, nargs > 0 ? args[0] : Py_None) < 0 || put(turn->buffer, row) < 0;
    Py_XDECREF(ended);
    Py_DECREF(row);
    if (failed) {
        return missed(turn, "internal");
    }
    Py_RETURN_NONE;
}

static int
turn_traverse(PyObject *self, visitproc visit, void *arg)
{
    Turn *turn = (Turn *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(turn->buffer);
    Py_VISIT(turn->clock);
    Py_VISIT(turn->row);
    return 0;
}

static int
turn_clear(PyObject *self)
{
    Turn *turn = (Turn *)self;
    Py_CLEAR(turn->buffer);
    Py_CLEAR(turn->clock);
    Py_CLEAR(turn->row);
    return 0;
}

static void
turn_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    turn_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef turn_methods[] = {
    {"stage", (PyCFunction)(void (*)(void))turn_stage, METH_FASTCALL | METH_KEYWORDS,
     "stage($self, /, name)\n--\n\nTimes a part of the turn from now to the end of the `with` block. Timed twice, it adds up."},
    {"__enter__", turn_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))turn_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef turn_members[] = {
    {"_buffer", T_OBJECT_EX, offsetof(Turn, buffer), READONLY, NULL},
    {"clock", T_OBJECT_EX, offsetof(Turn, clock), READONLY, NULL},
    {"_row", T_OBJECT, offsetof(Turn, row), READONLY, NULL},
    {"_began", T_DOUBLE, offsetof(Turn, began), READONLY, NULL},
    {"_last", T_DOUBLE, offsetof(Turn, last), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot turn_slots[] = {
    {Py_tp_dealloc, turn_dealloc}, {Py_tp_traverse, turn_traverse}, {Py_tp_clear, turn_clear},
    {Py_tp_methods, turn_methods}, {Py_tp_members, turn_members},   {0, NULL},
};

static PyType_Spec turn_spec = {
    "producers.recorder._hot_path.BegunTurn", sizeof(Turn), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, turn_slots,
};

/* -- Whoever turns begin with ----------------------------------------------------------------------------------------- */

/* The dimensions, and the session where it was named: a new dict, or NULL with an error set. */
static PyObject *
dimensions_of(PyObject *const *values, PyObject *kwnames, PyObject **session)
{
    PyObject *dimensions = PyDict_New();
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t at = 0; dimensions != NULL && at < named; at++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, at);
        if (name == str_session || PyUnicode_Compare(name, str_session) == 0) {
            if (*session != NULL) {
                PyErr_SetString(PyExc_TypeError, "turn() got multiple values for argument 'session'");
                Py_CLEAR(dimensions);
                break;
            }
            *session = values[at];
        }
        else if (PyDict_SetItem(dimensions, name, values[at]) < 0) {
            Py_CLEAR(dimensions);
        }
    }
    return dimensions;
}

/* session, defaults, dimensions, begin; takes `dimensions` over. */
static PyObject *
begun_row(PyObject *session, PyObject *defaults, PyObject *dimensions, double began)
{
    PyObject *instant = PyFloat_FromDouble(began);
    PyObject *row = instant == NULL ? NULL : PyList_New(4);
    if (row == NULL) {
        Py_XDECREF(instant);
        Py_DECREF(dimensions);
        return NULL;
    }
    PyList_SET_ITEM(row, 0, Py_NewRef(session));
    PyList_SET_ITEM(row, 1, Py_NewRef(defaults));
    PyList_SET_ITEM(row, 2, dimensions);
    PyList_SET_ITEM(row, 3, instant);
    return row;
}

static PyObject *
records_turn(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Records *records = (Records *)self;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "turn() takes one positional argument, the session, but %zd were given", nargs);
        return NULL;
    }
    if (records->buffer == NULL || records->defaults == NULL) {
        PyErr_SetString(PyExc_AttributeError, "A recorder that has no buffer or defaults begins no turns.");
        return NULL;
    }
    PyObject *session = nargs == 1 ? args[0] : NULL;
    PyObject *dimensions = dimensions_of(args + nargs, kwnames, &session);
    Turn *turn = dimensions == NULL ? NULL : (Turn *)turn_type->tp_alloc(turn_type, 0);
    if (turn == NULL) {
        Py_XDECREF(dimensions);
        return NULL;
    }
    turn->buffer = Py_NewRef(records->buffer);
    turn->clock = PyObject_GetAttr(turn->buffer, str_clock);
    turn->began = turn->last = turn->clock == NULL ? -1.0 : seconds_of(turn->clock);
    if (turn->began == -1.0 && PyErr_Occurred()) {
        Py_DECREF(dimensions);
        Py_DECREF(turn);
        return NULL;
    }
    turn->row = begun_row(session == NULL ? Py_None : session, records->defaults, dimensions, turn->began);
    if (turn->row == NULL) {
        Py_DECREF(turn);
        return NULL;
    }
    return (PyObject *)turn;
}

static int
records_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Records *)self)->buffer);
    Py_VISIT(((Records *)self)->defaults);
    return 0;
}

static int
records_clear(PyObject *self)
{
    Py_CLEAR(((Records *)self)->buffer);
    Py_CLEAR(((Records *)self)->defaults);
    return 0;
}

static void
records_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    records_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef records_methods[] = {
    {"turn", (PyCFunction)(void (*)(void))records_turn, METH_FASTCALL | METH_KEYWORDS,
     "turn($self, /, session=None, **dimensions)\n--\n\nA turn of this session that begins now. It keeps the dimensions "
     "that hold now, whatever is changed later."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef records_members[] = {
    {"_buffer", T_OBJECT_EX, offsetof(Records, buffer), 0, NULL},
    {"_defaults", T_OBJECT_EX, offsetof(Records, defaults), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot records_slots[] = {
    {Py_tp_dealloc, records_dealloc}, {Py_tp_traverse, records_traverse}, {Py_tp_clear, records_clear},
    {Py_tp_methods, records_methods}, {Py_tp_members, records_members},   {0, NULL},
};

static PyType_Spec records_spec = {
    "producers.recorder._hot_path.RecordsTurns", sizeof(Records), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, records_slots,
};

/* -- The module ------------------------------------------------------------------------------------------------------- */

static PyObject *
register_types(PyObject *module, PyObject *args)
{
    PyTypeObject *turn, *stage;
    if (!PyArg_ParseTuple(args, "O!O!:register", &PyType_Type, &turn, &PyType_Type, &stage)) {
        return NULL;
    }
    if (!PyType_IsSubtype(turn, turn_base) || !PyType_IsSubtype(stage, stage_base)) {
        PyErr_SetString(PyExc_TypeError, "register() takes a subclass of BegunTurn and one of TimedStage");
        return NULL;
    }
    Py_XSETREF(turn_type, (PyTypeObject *)Py_NewRef(turn));
    Py_XSETREF(stage_type, (PyTypeObject *)Py_NewRef(stage));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"register", register_types, METH_VARARGS, "register(turn, stage, /)\n--\n\nOf which classes turns and stages are made."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_hot_path", "What every turn pays for; see hot_path.py.", -1, functions,
};

static int
prepare(void)
{
    PyObject *time_module = PyImport_ImportModule("time");
    perf_counter = time_module == NULL ? NULL : PyObject_GetAttrString(time_module, "perf_counter");
    Py_XDECREF(time_module);
    str_append = PyUnicode_InternFromString("append");
    str_clock = PyUnicode_InternFromString("clock");
    str_missed = PyUnicode_InternFromString("missed");
    str_put = PyUnicode_InternFromString("put");
    str_rows_max = PyUnicode_InternFromString("rows_max");
    str_session = PyUnicode_InternFromString("session");
    str_turns = PyUnicode_InternFromString("turns");
    return perf_counter && str_append && str_clock && str_missed && str_put && str_rows_max && str_session && str_turns
               ? 0
               : -1;
}

PyMODINIT_FUNC
PyInit__hot_path(void)
{
    PyObject *module = prepare() < 0 ? NULL : PyModule_Create(&definition);
    PyObject *records = module == NULL ? NULL : PyType_FromSpec(&records_spec);
    turn_base = records == NULL ? NULL : (PyTypeObject *)PyType_FromSpec(&turn_spec);
    stage_base = turn_base == NULL ? NULL : (PyTypeObject *)PyType_FromSpec(&stage_spec);
    if (stage_base == NULL || PyModule_AddObjectRef(module, "RecordsTurns", records) < 0 ||
        PyModule_AddObjectRef(module, "BegunTurn", (PyObject *)turn_base) < 0 ||
        PyModule_AddObjectRef(module, "TimedStage", (PyObject *)stage_base) < 0) {
        Py_XDECREF(records);
        Py_XDECREF(module);
        return NULL;
    }
    turn_type = (PyTypeObject *)Py_NewRef(turn_base);
    stage_type = (PyTypeObject *)Py_NewRef(stage_base);
    Py_DECREF(records);
    return module;
}
