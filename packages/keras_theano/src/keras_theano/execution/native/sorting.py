"""Sorting: the rules, and the code.

Runs of a few elements are sorted first. Then pairs of neighbouring runs are merged until there is one. Equal
elements keep their order, and NaN comes last, so there is only one order. Where elements are sorted and not
their places, -0.0 comes before 0.0, as in the interpreter: then elements with equal bits need no order.
"""

from collections.abc import Sequence
from itertools import combinations
from math import prod
from string import Template

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.tensor.sort import ArgSortOp, SortOp

from keras_theano.execution.native.code import Code, Loop, is_float, llvm_type, stored_type
from keras_theano.execution.native.lowering import Lowering, rule
from keras_theano.execution.native.work import Sort, Uncovered, Value, View, Work, contiguous

# The length of the runs that are sorted first.
_RUN = 8
# NumPy sorts many elements several times as fast, with vector instructions. It does not for their places. A
# call of NumPy takes as long as this code takes longer for so many elements. Rows of two runs take as long.
_MOST_ELEMENTS = 2048


@rule.register
def _(op: SortOp, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view, axis = sorted_along(graph, node)
    if view.shape[axis] < 2 or 0 in view.shape:
        return [view]
    if view.size > _MOST_ELEMENTS and view.shape[axis] > 2 * _RUN:
        raise Uncovered("a sort of many elements")
    return [_sorted(graph, view, axis, places=False)]


@rule.register
def _(op: ArgSortOp, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view, axis = sorted_along(graph, node)
    if view.shape[axis] < 2 or 0 in view.shape:
        return [graph.shop.filled(0, view.shape, "int64")]
    return [_sorted(graph, view, axis, places=True)]


def sorted_along(graph: Lowering, node: Apply) -> tuple[View, int]:  # type: ignore[type-arg]
    view, axis = graph.view(node.inputs[0]), int(graph.known(node.inputs[1]))
    if not -len(view.shape) <= axis < len(view.shape):
        raise Uncovered("a sort along an axis that is not there")
    return view, axis % len(view.shape)


def _sorted(graph: Lowering, view: View, axis: int, places: bool) -> View:
    dtype = "int64" if places else view.dtype
    count = view.shape[axis]
    return row_by_row(graph, view, axis, Sort(places, count * np.dtype(dtype).itemsize), count, dtype)


def row_by_row(graph: Lowering, view: View, axis: int, work: Work, count: int, dtype: str) -> View:
    """Return the view of a value that has `count` elements for each row of `view` along an axis.

    The rows of the work's part are those of a matrix.
    """
    order = [*[n for n in range(len(view.shape)) if n != axis], axis]
    shape = tuple([view.shape[n] for n in order])
    moved = View(view.value, view.offset, shape, tuple([view.strides[n] for n in order]))
    rows = graph.shop.reshaped(moved, (prod(shape[:-1]), shape[-1]))
    value = graph.shop.value(work, [rows], (rows.shape[0], count), dtype)
    strides = contiguous((*shape[:-1], count))
    back = [order.index(n) for n in range(len(order))]
    sizes = tuple([count if n == axis else size for n, size in enumerate(view.shape)])
    return View(value, 0, sizes, tuple([strides[n] for n in back]))


def emit(code: Code, value: Value, work: Sort, source: str, target: str) -> None:
    """Add a loop over the rows. Each is sorted in its place in the value, with one more row as scratch."""
    rows, count = value.shape
    dtype = value.parts[0].dtype
    kind, key = stored_type(value.dtype), stored_type(dtype)
    compared = dtype if work.places or not is_float(dtype) else whole_dtype(dtype)
    suffix = f"{dtype}_places" if work.places else compared
    code.declared |= {_function(text, suffix, compared, work.places) for text in (_RUNS, _MERGING)}
    scratch = code.new(f"getelementptr i8, ptr {target}, i64 {value.scratch_start}")
    row = Loop(code, rows)
    start = code.new(f"mul nsw i64 {row.index}, {count}")
    keys = code.new(f"getelementptr {key}, ptr {source}, i64 {start}")
    own = code.new(f"getelementptr {kind}, ptr {target}, i64 {start}")
    passes = max(-(-count // _RUN) - 1, 0).bit_length()
    # The passes take turns with the two arrays. The last one writes to the value.
    ways = [own, scratch] if passes % 2 == 0 else [scratch, own]
    numbers = _begin(code, count, dtype, work.places, keys, ways[0], own)
    code.line(f"call void @runs_{suffix}(ptr {ways[0]}, ptr {keys}, i64 {numbers})")
    for n in range(passes):
        given = f"ptr {ways[n % 2]}, ptr {ways[1 - n % 2]}, ptr {keys}, i64 {numbers}, i64 {_RUN << n}"
        code.line(f"call void @merging_{suffix}({given})")
    if not work.places and is_float(dtype):
        each = Loop(code, count)
        place = code.new(f"getelementptr {kind}, ptr {own}, i64 {each.index}")
        number = _in_order(code, code.new(f"load {llvm_type(compared)}, ptr {place}"), compared)
        code.line(f"store {llvm_type(compared)} {number}, ptr {place}")
        each.end()
    row.end()


def whole_dtype(dtype: str) -> str:
    """Return the dtype of whole numbers with as many bits."""
    return f"int{np.dtype(dtype).itemsize * 8}"


def _in_order(code: Code, bits: str, dtype: str) -> str:
    """Return the whole number that has the place among whole numbers which a float has among floats, from the
    bits of the float. The bits of negative floats count backwards. The inverse is the same.

    dtype: of the bits.
    """
    kind, size = llvm_type(dtype), np.dtype(dtype).itemsize * 8
    sign = code.new(f"ashr {kind} {bits}, {size - 1}")
    return code.new(f"xor {kind} {bits}, {code.new(f'and {kind} {sign}, {2 ** (size - 1) - 1}')}")


def as_whole(code: Code, number: str, dtype: str) -> str:
    """Return the whole number that has the place of a float among whole numbers. NaN comes last."""
    kind, own = whole_dtype(dtype), llvm_type(dtype)
    whole = llvm_type(kind)
    ordered = _in_order(code, code.new(f"bitcast {own} {number} to {whole}"), kind)
    nan = code.new(f"fcmp uno {own} {number}, {number}")
    return code.new(f"select i1 {nan}, {whole} {np.iinfo(kind).max}, {whole} {ordered}")


def _begin(code: Code, count: int, dtype: str, places: bool, keys: str, first: str, own: str) -> str:
    """Write the elements of a row to the array from which the first pass reads, and return their number.

    Floats are written as whole numbers of the same order. If places are sorted, those of NaN are left out,
    and are written to the end of the row in the value.
    """
    key = stored_type(dtype)
    kind = "i64" if places else key

    def element(index: str) -> tuple[str, str]:
        found = code.new(f"load {key}, ptr {code.new(f'getelementptr {key}, ptr {keys}, i64 {index}')}")
        return found, index if places else found

    def write(number: str, array: str, place: str) -> None:
        code.line(f"store {kind} {number}, ptr {code.new(f'getelementptr {kind}, ptr {array}, i64 {place}')}")

    if not is_float(dtype):
        each = Loop(code, count)
        write(element(each.index)[1], first, each.index)
        each.end()
        return str(count)
    if not places:
        whole = llvm_type(whole_dtype(dtype))
        each = Loop(code, count)
        ordered = as_whole(code, element(each.index)[0], dtype)
        place = code.new(f"getelementptr {whole}, ptr {first}, i64 {each.index}")
        code.line(f"store {whole} {ordered}, ptr {place}")
        each.end()
        return str(count)
    each = Loop(code, count, [("i64", "0")])
    found, number = element(each.index)
    # What is written for NaN is written over by the next number, or lies behind all numbers.
    write(number, first, each.values[0])
    is_number = code.new(f"fcmp ord {key} {found}, {found}")
    numbers = code.new(f"add i64 {each.values[0]}, {code.new(f'zext i1 {is_number} to i64')}")
    each.end(numbers)
    label = code.number()
    code.branch(code.new(f"icmp ult i64 {numbers}, {count}"), f"some{label}", f"none{label}")
    code.block(f"some{label}")
    each = Loop(code, count, [("i64", numbers)])
    found, number = element(each.index)
    inner = code.number()
    code.branch(code.new(f"fcmp uno {key} {found}, {found}"), f"nan{inner}", f"number{inner}")
    code.block(f"nan{inner}")
    write(number, own, each.values[0])
    following = code.new(f"add i64 {each.values[0]}, 1")
    code.jump(f"number{inner}x")
    code.block(f"number{inner}")
    code.jump(f"number{inner}x")
    code.block(f"number{inner}x")
    end = code.new(f"phi i64 [{following}, %nan{inner}], [{each.values[0]}, %number{inner}]")
    each.end(end)
    code.jump(f"none{label}")
    code.block(f"none{label}")
    return numbers


def _function(text: Template, suffix: str, dtype: str, places: bool) -> str:
    """Return a function that sorts elements, or places of keys."""
    key = stored_type(dtype)
    # Elements are moved as whole numbers. The processor chooses between two of these without a branch.
    kind = "i64" if places else f"i{np.dtype(dtype).itemsize * 8}"
    less = {"f": "fcmp olt", "i": "icmp slt"}.get(np.dtype(dtype).kind, "icmp ult")

    def key_of(element: str) -> str:
        """Return the lines that let the name `element`_key be the key of an element."""
        if not places:
            return f"%{element}_key = bitcast {kind} %{element} to {key}"
        place = f"%{element}_place = getelementptr {key}, ptr %keys, i64 %{element}"
        return f"{place}\n%{element}_key = load {key}, ptr %{element}_place"

    def compared(prefix: str) -> str:
        """Return the lines that let the name `prefix`less be whether the right element belongs first."""
        left, right = f"{prefix}left", f"{prefix}right"
        comparison = f"%{prefix}less = {less} {key} %{right}_key, %{left}_key"
        return "\n".join([key_of(left), key_of(right), comparison])

    def whole_run() -> list[str]:
        """Return the lines that sort a run of the full length. The place of an element in the sorted run is
        the number of those that come before it.
        """
        lines = []
        for n in range(_RUN):
            lines.append(f"%own_{n} = add i64 %start, {n}")
            lines.append(f"%own_{n}_at = getelementptr {kind}, ptr %elements, i64 %own_{n}")
            lines.append(f"%e{n} = load {kind}, ptr %own_{n}_at")
            lines.append(key_of(f"e{n}"))
        ranks = [f"%own_{n}" for n in range(_RUN)]
        for left, right in combinations(range(_RUN), 2):
            pair = f"{left}_{right}"
            lines.append(f"%less_{pair} = {less} {key} %e{right}_key, %e{left}_key")
            lines.append(f"%one_{pair} = zext i1 %less_{pair} to i64")
            lines.append(f"%later_{pair} = add i64 {ranks[left]}, %one_{pair}")
            lines.append(f"%sooner_{pair} = sub i64 {ranks[right]}, %one_{pair}")
            ranks[left], ranks[right] = f"%later_{pair}", f"%sooner_{pair}"
        for n in range(_RUN):
            lines.append(f"%sorted_{n}_at = getelementptr {kind}, ptr %elements, i64 {ranks[n]}")
            lines.append(f"store {kind} %e{n}, ptr %sorted_{n}_at")
        return lines

    return text.substitute(
        suffix=suffix,
        kind=kind,
        run=_RUN,
        whole_run="\n".join(whole_run()),
        compared=compared(""),
        compared_front=compared("front_"),
        compared_back=compared("back_"),
    )


# Sorts runs in place. Those of the full length are sorted without a branch, because a processor cannot guess
# the ways of a sort. What remains is sorted by insertion.
_RUNS = Template("""\
define internal void @runs_$suffix(ptr noalias %elements, ptr noalias %keys, i64 %count) nounwind {
entry:
br label %run
run:
%start = phi i64 [0, %entry], [%far, %whole]
%far = add i64 %start, $run
%is_whole = icmp ule i64 %far, %count
br i1 %is_whole, label %whole, label %next
whole:
$whole_run
br label %run
next:
%last = phi i64 [%start, %run], [%at, %found]
%at = add i64 %last, 1
%done = icmp uge i64 %at, %count
br i1 %done, label %exit, label %take
take:
%from = getelementptr $kind, ptr %elements, i64 %at
%right = load $kind, ptr %from
br label %compare
compare:
%hole = phi i64 [%at, %take], [%before, %move]
%first = icmp eq i64 %hole, %start
br i1 %first, label %found, label %look
look:
%before = sub i64 %hole, 1
%left_at = getelementptr $kind, ptr %elements, i64 %before
%left = load $kind, ptr %left_at
$compared
br i1 %less, label %move, label %found
move:
%hole_at = getelementptr $kind, ptr %elements, i64 %hole
store $kind %left, ptr %hole_at
br label %compare
found:
%to = getelementptr $kind, ptr %elements, i64 %hole
store $kind %right, ptr %to
br label %next
exit:
ret void
}""")

# Merges each pair of neighbouring runs of %width elements. The last run may be shorter, or have no neighbour.
# Two whole runs are merged from both ends at once, which takes half the time: %width steps at each end cannot
# go beyond a run, and the processor works on both ends at the same time.
_MERGING = Template("""\
define internal void @merging_$suffix(ptr noalias %from, ptr noalias %to, ptr noalias %keys, i64 %count,
i64 %width) nounwind {
entry:
br label %pair
pair:
%start = phi i64 [0, %entry], [%end, %merged]
%far_middle = add i64 %start, %width
%whole_left = icmp ult i64 %far_middle, %count
%middle = select i1 %whole_left, i64 %far_middle, i64 %count
%far_end = add i64 %middle, %width
%whole_right = icmp ule i64 %far_end, %count
%end = select i1 %whole_right, i64 %far_end, i64 %count
br i1 %whole_right, label %both_ends, label %shorter
both_ends:
%last_left = sub i64 %middle, 1
%last = sub i64 %end, 1
br label %both
both:
%n = phi i64 [0, %both_ends], [%next_n, %both]
%front_l = phi i64 [%start, %both_ends], [%next_front_l, %both]
%front_r = phi i64 [%middle, %both_ends], [%next_front_r, %both]
%back_l = phi i64 [%last_left, %both_ends], [%next_back_l, %both]
%back_r = phi i64 [%last, %both_ends], [%next_back_r, %both]
%front_left_at = getelementptr $kind, ptr %from, i64 %front_l
%front_right_at = getelementptr $kind, ptr %from, i64 %front_r
%front_left = load $kind, ptr %front_left_at
%front_right = load $kind, ptr %front_right_at
$compared_front
%least = select i1 %front_less, $kind %front_right, $kind %front_left, !unpredictable !{}
%least_to = add i64 %start, %n
%least_at = getelementptr $kind, ptr %to, i64 %least_to
store $kind %least, ptr %least_at
%front_one = zext i1 %front_less to i64
%next_n = add i64 %n, 1
%next_front_r = add i64 %front_r, %front_one
%front_other = xor i64 %front_one, 1
%next_front_l = add i64 %front_l, %front_other
%back_left_at = getelementptr $kind, ptr %from, i64 %back_l
%back_right_at = getelementptr $kind, ptr %from, i64 %back_r
%back_left = load $kind, ptr %back_left_at
%back_right = load $kind, ptr %back_right_at
$compared_back
%greatest = select i1 %back_less, $kind %back_left, $kind %back_right, !unpredictable !{}
%greatest_to = sub i64 %last, %n
%greatest_at = getelementptr $kind, ptr %to, i64 %greatest_to
store $kind %greatest, ptr %greatest_at
%back_one = zext i1 %back_less to i64
%next_back_l = sub i64 %back_l, %back_one
%back_other = xor i64 %back_one, 1
%next_back_r = sub i64 %back_r, %back_other
%all = icmp eq i64 %next_n, %width
br i1 %all, label %merged, label %both
shorter:
%some = icmp ult i64 %middle, %end
br i1 %some, label %merge, label %rest
merge:
%l = phi i64 [%start, %shorter], [%next_l, %merge]
%r = phi i64 [%middle, %shorter], [%next_r, %merge]
%k = phi i64 [%start, %shorter], [%next_k, %merge]
%left_at = getelementptr $kind, ptr %from, i64 %l
%right_at = getelementptr $kind, ptr %from, i64 %r
%left = load $kind, ptr %left_at
%right = load $kind, ptr %right_at
$compared
%chosen = select i1 %less, $kind %right, $kind %left, !unpredictable !{}
%chosen_at = getelementptr $kind, ptr %to, i64 %k
store $kind %chosen, ptr %chosen_at
%one = zext i1 %less to i64
%other = xor i64 %one, 1
%next_r = add i64 %r, %one
%next_l = add i64 %l, %other
%next_k = add i64 %k, 1
%more_left = icmp ult i64 %next_l, %middle
%more_right = icmp ult i64 %next_r, %end
%more = and i1 %more_left, %more_right
br i1 %more, label %merge, label %rest
rest:
%rest_l = phi i64 [%start, %shorter], [%next_l, %merge]
%rest_r = phi i64 [%middle, %shorter], [%next_r, %merge]
%rest_k = phi i64 [%start, %shorter], [%next_k, %merge]
%left_remains = icmp ult i64 %rest_l, %middle
%rest_at = select i1 %left_remains, i64 %rest_l, i64 %rest_r
%source = getelementptr $kind, ptr %from, i64 %rest_at
%target = getelementptr $kind, ptr %to, i64 %rest_k
%remain = sub i64 %end, %rest_k
br label %copy
copy:
%m = phi i64 [0, %rest], [%next_m, %one_more]
%copied = icmp uge i64 %m, %remain
br i1 %copied, label %merged, label %one_more
one_more:
%source_at = getelementptr $kind, ptr %source, i64 %m
%target_at = getelementptr $kind, ptr %target, i64 %m
%copy_of = load $kind, ptr %source_at
store $kind %copy_of, ptr %target_at
%next_m = add i64 %m, 1
br label %copy
merged:
%finished = icmp uge i64 %end, %count
br i1 %finished, label %exit, label %pair
exit:
ret void
}""")
